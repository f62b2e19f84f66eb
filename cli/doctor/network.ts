// What the plugin reaches: the broker and its certificate, the clock there, the identity provider, and through which proxy.

import { connect as connectPlainly } from 'node:net';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { sayDuration } from '../../shared/duration.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { isLoopback } from '../../shared/origin.ts';
import { fromMilliseconds, type Seconds, seconds } from '../../shared/time.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import { sayEnd } from '../audit/world.ts';
import { codeOf } from '../host/error_code.ts';
import type { Host } from '../host/host.ts';
import type { Client } from '../session/client.ts';
import { readCertificates } from '../wire/certificates.ts';
import { discover } from '../wire/identity_provider.ts';
import { type ProxyServer, proxyFor } from '../wire/proxy.ts';
import { type Check, fine, unseen, wrong, wrongBy } from './check.ts';

/** From here on logins notice: what a person reads as times is wrong by as much. */
const MOST_APART_SECONDS = 60;
/** Part of its whole life: certificates of a day are as usual as such of a year. */
const SOON = 0.1;
const LONGEST_MS = 5_000;

/** Whether somebody is there, where what goes to the broker goes through one. */
export async function checkProxy({ env }: Pick<Host, 'env'>, url: string): Promise<Check> {
  try {
    const proxy = proxyOf(env, url);
    if (!proxy) return fine('proxy', 'none');
    const says = `${proxy.host}, of ${proxy.variable}`;
    const fault = await faultOfPlace(proxy.url);
    if (fault === undefined) return fine('proxy', says);
    return wrong(
      'proxy',
      `${says}: ${fault}`,
      `set ${proxy.variable} to a proxy that runs, or the host of the broker into NO_PROXY`,
    );
  } catch (error) {
    return wrongBy('proxy', error);
  }
}

/** What goes to this very machine goes to no proxy. */
function proxyOf(env: Host['env'], url: string): ProxyServer | undefined {
  const target = new URL(url);
  return isLoopback(target.hostname) ? undefined : proxyFor(env, target);
}

function faultOfPlace(url: string): Promise<string | undefined> {
  const { hostname, port, protocol } = new URL(url);
  const place = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'http:' ? 80 : 443) };
  return new Promise((resolve) => {
    const socket = connectPlainly(place);
    const end = (fault?: string) => {
      socket.destroy();
      resolve(fault);
    };
    socket.setTimeout(LONGEST_MS, () => end('it does not answer in time'));
    socket.on('error', (error) => end(`it cannot be reached (${codeOf(error) ?? 'no code'})`));
    socket.on('connect', () => end());
  });
}

/** @returns the metadata as well, where it was reached */
export async function checkBroker(client: Client): Promise<{ readonly check: Check; readonly metadata?: Metadata }> {
  try {
    const metadata = await client.broker.metadata();
    const names = metadata.clusters.map(({ name }) => name).join(', ');
    return { check: fine('broker', `${client.url}, with the clusters ${names}`), metadata };
  } catch (error) {
    return { check: wrongBy('broker', error) };
  }
}

/** What it presents, believed or not: only to be told until when. */
export async function checkCertificate({ host, url, trusted }: Client): Promise<Check & { readonly over?: boolean }> {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== 'https:') return fine('certificate', 'none: plain http, to this machine alone');
  if (proxyOf(host.env, url)) return fine('certificate', 'not looked at: it is behind a proxy');
  const certificate = await presented(hostname.replace(/^\[|\]$/g, ''), Number(port) || 443);
  const end = certificate && fromMilliseconds(Date.parse(certificate.valid_to));
  if (!certificate || end === undefined || !Number.isSafeInteger(end)) {
    return unseen('certificate', 'broker');
  }
  const says = sayEnd(end, host.now());
  const own =
    trusted.ca_file === undefined ? '' : `, checked with ${readCertificates(trusted.ca_file).length} of yours`;
  const left = end - host.now();
  const ask = 'ask who runs the broker to renew its certificate';
  if (left <= 0) return { ...wrong('certificate', says, `${ask}, if this machine's clock is right`), over: true };
  if (left < (SOON * (Date.parse(certificate.valid_to) - Date.parse(certificate.valid_from))) / 1000)
    return wrong('certificate', `soon over: ${says}`, ask);
  return fine('certificate', `${says}${own}`);
}

function presented(host: string, port: number): Promise<DetailedPeerCertificate | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port,
      servername: /^[\d.:a-f]+$/i.test(host) ? '' : host,
      ...STRONG_TLS,
      rejectUnauthorized: false,
    });
    const end = (certificate?: DetailedPeerCertificate) => {
      socket.destroy();
      resolve(certificate?.valid_to ? certificate : undefined);
    };
    socket.setTimeout(LONGEST_MS, () => end());
    socket.on('error', () => end());
    socket.on('secureConnect', () => end(socket.getPeerCertificate(true)));
  });
}

/** By the Date of its answer (RFC 9110 section 6.6.1). Only for words: no decision depends on it. */
export async function checkClock({ host, send, url }: Client): Promise<Check> {
  const asked = host.now();
  let date: string | undefined;
  try {
    date = (await send(`${url}/.well-known/curfew`, { method: 'GET' })).headers.date;
  } catch {
    return unseen('clock', 'broker');
  }
  const theirs = fromMilliseconds(Date.parse(date ?? ''));
  if (!Number.isSafeInteger(theirs)) return fine('clock', 'not compared: the broker does not say its time');
  const apart = distance(theirs, asked, host.now());
  if (apart.by <= MOST_APART_SECONDS) return fine('clock', `as the broker's, within ${sayDuration(seconds(apart.by))}`);
  const todo = 'set the clock of this machine (NTP); sessions end on time all the same, by the clock of the broker';
  return wrong('clock', `${sayDuration(seconds(apart.by))} ${apart.ahead ? 'ahead of' : 'behind'} the broker's`, todo);
}

/** An answer that took a while says no more than that its time is between asking and hearing. */
function distance(theirs: Seconds, asked: Seconds, heard: Seconds): { readonly by: number; readonly ahead: boolean } {
  if (theirs < asked) return { by: asked - theirs, ahead: true };
  return { by: Math.max(0, theirs - heard), ahead: false };
}

export async function checkIdentityProvider({ send, trusted }: Client, metadata: Metadata): Promise<Check> {
  const { identity_provider } = metadata;
  try {
    await discover(identity_provider, send);
  } catch (error) {
    return wrongBy('identity_provider', error);
  }
  const before = trusted.known?.identity_provider;
  if (before !== undefined && before !== identity_provider.issuer) {
    const says = `the broker names ${identity_provider.issuer}, when it was set up it was ${before}`;
    return wrong(
      'identity_provider',
      says,
      'ask who runs the broker; only if they changed it, run: kubectl curfew login',
    );
  }
  return fine('identity_provider', identity_provider.issuer);
}
