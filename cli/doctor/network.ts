// What the plugin reaches: the broker and its certificate, the clock there, the identity provider, and through which proxy.

import { connect, type DetailedPeerCertificate } from 'node:tls';
import { sayDuration } from '../../shared/duration.ts';
import { fromMilliseconds, type Seconds, seconds } from '../../shared/time.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import type { Metadata } from '../../shared/wire.ts';
import { sayEnd } from '../audit/world.ts';
import type { Host } from '../host/host.ts';
import type { Client } from '../session/client.ts';
import { readCertificates } from '../wire/certificates.ts';
import { discover } from '../wire/identity_provider.ts';
import { proxyFor } from '../wire/proxy.ts';
import { type Check, fine, wrong, wrongBy } from './check.ts';

/** From here on logins notice: what a person reads as times is wrong by as much. */
const MOST_APART_SECONDS = 60;
/** Part of its whole life: certificates of a day are as usual as such of a year. */
const SOON = 0.1;
const LONGEST_MS = 5_000;

export function checkProxy({ env }: Pick<Host, 'env'>, url: string): Check {
  try {
    const proxy = proxyFor(env, new URL(url));
    return fine('proxy', proxy ? `${proxy.host}, of ${proxy.variable}` : 'none');
  } catch (error) {
    return wrongBy('proxy', error);
  }
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
export async function checkCertificate({ host, url, trusted }: Client): Promise<Check> {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== 'https:') return fine('certificate', 'none: plain http, to this machine alone');
  if (proxyFor(host.env, new URL(url))) return fine('certificate', 'not looked at: it is behind a proxy');
  const certificate = await presented(hostname.replace(/^\[|\]$/g, ''), Number(port) || 443);
  const end = certificate && fromMilliseconds(Date.parse(certificate.valid_to));
  if (!certificate || end === undefined || !Number.isSafeInteger(end)) {
    return wrong('certificate', 'the broker presents none', 'see what is wrong with the broker, above');
  }
  const says = sayEnd(end, host.now());
  const own =
    trusted.ca_file === undefined ? '' : `, checked with ${readCertificates(trusted.ca_file).length} of yours`;
  const left = end - host.now();
  const ask = 'ask who runs the broker to renew its certificate';
  if (left <= 0) return wrong('certificate', says, `${ask}, if this machine's clock is right`);
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
    return wrong('clock', 'not compared: the broker did not answer', 'see what is wrong with the broker, above');
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

export async function checkIdentityProvider({ send, trusted }: Client, metadata: Metadata | undefined): Promise<Check> {
  if (!metadata)
    return wrong('identity_provider', 'not asked: only the broker says which it is', 'see the broker, above');
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
