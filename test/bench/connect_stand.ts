// A gateway of targets from its bundle between a broker from its bundle and what stands for a target, with people who are logged in.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Agent, fetch } from 'undici';
import { WebSocket } from 'ws';
import { CONNECT_PATH, CONNECT_PROTOCOL } from '../../shared/targets.ts';
import { freePort } from '../cluster/ports.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway_process.ts';
import { Holder } from '../support/holder.ts';
import { startRunning } from '../support/running.ts';
import { startSite } from '../support/site.ts';
import { startStaticIssuer } from '../support/static_issuer.ts';
import { targetToken } from '../support/targets.ts';
import type { Settings } from './figure.ts';
import { POLICY } from './gateway_stand.ts';
import { profiling } from './profile.ts';

const TARGET = 'sink';

export interface Visitor {
  /** A token for the target: good for a minute. */
  token(): Promise<string>;
  /** @throws unless it is let in */
  connect(token: string): Promise<WebSocket>;
  /** Ends the session; resolves once that is acknowledged. */
  logout(): Promise<void>;
}

export interface ConnectStand {
  readonly gateway: GatewayProcess;
  /** Of the target itself. */
  readonly port: number;
  /** Somebody new. */
  visitor(): Promise<Visitor>;
}

export async function atConnectStand<T>(settings: Settings, work: (stand: ConnectStand) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(settings.folder, 'connect-'));
  const authority = await createCertificateAuthority(path.join(dir, 'ca'));
  const issuer = await startStaticIssuer();
  const stops: (() => Promise<unknown>)[] = [() => issuer.stop()];
  const dispatcher = new Agent({ connect: { ca: authority.caPem } });
  stops.push(() => dispatcher.destroy());
  try {
    const target = startRunning(process.execPath, [path.join(import.meta.dirname, 'connect_target.ts')]);
    stops.push(() => target.kill());
    await target.says(/^\d+\n/);
    const target_port = Number(target.stdout());
    const [port, broker_port] = [await freePort(), await freePort()];
    const token_file = path.join(dir, 'gateway-token');
    await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
    const ca_file = authority.caFile;
    const public_url = `wss://127.0.0.1:${port}`;
    const place = {
      ...{ dir, authority, idp: { issuer: issuer.issuer, clientId: 'curfew' } },
      ...{ issuer: `https://127.0.0.1:${broker_port}`, policy: POLICY },
      sections: {
        target_gateway: { public_url, ca_file, token_file, source_addresses: ['127.0.0.1'] },
        targets: [{ name: TARGET, kind: 'tcp', address: `127.0.0.1:${target_port}`, allowed_groups: ['*'] }],
      },
    };
    const cluster = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] };
    const site = await startSite(place, [cluster]);
    stops.push(() => site.stop());
    const profile = profiling(settings, 'gateway');
    const gateway = await startGatewayProcess({
      ...{ dir, authority, port, public_url, env: profile.env },
      broker: { url: site.url, ca_file, token_file },
    });
    stops.push(() => gateway.kill());
    const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
    const way = { url: `${public_url}${CONNECT_PATH}${TARGET}`, ca: authority.caPem };
    let people = 0;
    const visitor = async (): Promise<Visitor> => {
      const holder = new Holder({ url: site.url, issuer: site.url, send });
      const [now, sub] = [holder.now(), `person-${++people}`];
      const claims = { iss: issuer.issuer, aud: 'curfew', sub, iat: now, exp: now + 300, auth_time: now };
      const mail = { email: `${sub}@example.com`, email_verified: true };
      const id_token = issuer.sign({ ...claims, ...mail, nonce: holder.nonce });
      const { refresh_token: handle = '' } = (await holder.exchange(id_token)).granted;
      return {
        token: async () => (await targetToken(holder, handle, TARGET)).access_token,
        connect: (token) => connect(way, holder, token),
        async logout() {
          const { status } = await holder.revoke(handle);
          if (status !== 200) throw new Error(`the end of a session was answered ${status}`);
        },
      };
    };
    const result = await work({ gateway, port: target_port, visitor });
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

/** As the plugin does. */
async function connect(way: { readonly url: string; readonly ca: string }, holder: Holder, token: string) {
  const ath = createHash('sha256').update(token).digest('base64url');
  const dpop = holder.proof({ method: 'GET', url: way.url.replace(/^wss:/, 'https:'), claims: { ath } });
  const socket = new WebSocket(way.url, CONNECT_PROTOCOL, {
    ...{ ca: way.ca, perMessageDeflate: false, headers: { authorization: `DPoP ${token}`, dpop } },
  });
  await once(socket, 'open');
  return socket;
}
