// A gateway from its bundle between a broker from its bundle and what stands for the API server, with people who are logged in.

import { randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Agent, fetch } from 'undici';
import { freePort } from '../cluster/ports.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway_process.ts';
import { Holder } from '../support/holder.ts';
import { startRunning } from '../support/running.ts';
import { startSite } from '../support/site.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';
import type { Settings } from './figure.ts';
import type { Place } from './gateway_exec.ts';
import { profiling } from './profile.ts';

/** Long enough that no token is over while something is measured. */
export const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '1h' }, segments: [] };

export interface Visitor {
  readonly token: string;
  /** Ends the session; resolves once that is acknowledged. */
  logout(): Promise<void>;
}

export interface Stand {
  readonly gateway: GatewayProcess;
  /** The same person at both. */
  readonly direct: Place;
  readonly through: Place;
  /** Somebody new. */
  visitor(): Promise<Visitor>;
}

export async function atGatewayStand<T>(settings: Settings, work: (stand: Stand) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(settings.folder, 'gateway-'));
  const authority = await createCertificateAuthority(path.join(dir, 'ca'));
  const issuer = await startStaticIssuer();
  const stops: (() => Promise<unknown>)[] = [() => issuer.stop()];
  const dispatcher = new Agent({ connect: { ca: authority.caPem } });
  stops.push(() => dispatcher.destroy());
  try {
    const upstream = await startUpstream(authority);
    stops.push(() => upstream.stop());
    const [port, broker_port] = [await freePort(), await freePort()];
    const token_file = path.join(dir, 'gateway-token');
    await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
    const ca_file = authority.caFile;
    const cluster = {
      ...{ name: 'dev', server: upstream.url, audience: 'dev', allowed_groups: ['*'] },
      gateway: { url: `https://127.0.0.1:${port}`, ca_file, token_file },
    };
    const idp = { issuer: issuer.issuer, clientId: 'curfew' };
    const place = { dir, authority, idp, issuer: `https://127.0.0.1:${broker_port}`, policy: POLICY };
    const site = await startSite(place, [cluster]);
    stops.push(() => site.stop());
    const profile = profiling(settings, 'gateway');
    const gateway = await startGatewayProcess({
      ...{ dir, authority, port, env: profile.env },
      broker: { url: site.url, ca_file, token_file },
      api_server: { url: upstream.url, ca_file },
    });
    stops.push(() => gateway.kill());
    const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
    const visitor = () => login(new Holder({ url: site.url, issuer: site.url, send }), issuer);
    const { token } = await visitor();
    const ca = authority.caPem;
    const result = await work({
      ...{ gateway, visitor, direct: { url: upstream.url, ca, token }, through: { url: gateway.url, ca, token } },
    });
    if (settings.profile !== undefined) {
      gateway.signal('SIGTERM');
      await gateway.exit;
      await profile.report();
    }
    return result;
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function startUpstream(authority: CertificateAuthority) {
  const { certFile, keyFile } = await authority.issue({ name: 'upstream', hosts: ['127.0.0.1'] });
  const program = path.join(import.meta.dirname, 'gateway_upstream.ts');
  const running = startRunning(process.execPath, [program, certFile, keyFile]);
  await running.says(/^\d+\n/);
  return { url: `https://127.0.0.1:${running.stdout().trim()}`, stop: () => running.kill() };
}

let people = 0;

async function login(holder: Holder, issuer: StaticIssuer): Promise<Visitor> {
  people += 1;
  const [now, sub] = [holder.now(), `person-${people}`];
  const claims = { iss: issuer.issuer, aud: 'curfew', sub, iat: now, exp: now + 300, auth_time: now };
  const mail = { email: `${sub}@example.com`, email_verified: true };
  const id_token = issuer.sign({ ...claims, ...mail, nonce: holder.nonce });
  const { access_token, refresh_token: handle = '' } = (await holder.exchange(id_token, { audience: 'dev' })).granted;
  return {
    token: access_token,
    async logout() {
      const { status } = await holder.revoke(handle);
      if (status !== 200) throw new Error(`the end of a session was answered ${status}`);
    },
  };
}
