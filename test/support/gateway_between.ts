// A gateway as a process, between real brokers behind a gate and a stand-in for the API server: for faults that need no cluster.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TokenReply } from '../../shared/wire.ts';
import { freePort } from '../cluster/ports.ts';
import { type BrokerGate, startBrokerGate } from './broker_gate.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { GatewayClient } from './gateway_client.ts';
import { GATEWAY_CERTIFICATE, type GatewayProcess, startGatewayProcess } from './gateway_process.ts';
import { Holder } from './holder.ts';
import type { StaticIssuer } from './static_issuer.ts';
import { type StreamingApiServer, startStreamingApiServer } from './streaming_api_server.ts';

const ANSWER_MS = 12_000;

/** Somebody who is logged in, with a client. */
export interface Logged {
  readonly sid: string;
  readonly client: GatewayClient;
  readonly holder: Holder;
  readonly handle: string;
  /** The reply says that it is over. */
  logOut(): Promise<void>;
}

export interface GatewayBetween {
  readonly gate: BrokerGate;
  readonly authority: CertificateAuthority;
  /** Of the gateway, as it presents it to the broker. */
  readonly gateway_token: string;
  readonly api: StreamingApiServer;
  readonly gateway: GatewayProcess;
  /** Sections of the brokers' configuration that they need: their files are relative to a broker's folder. */
  readonly sections: Readonly<Record<string, unknown>>;
  /** Puts into a broker's folder what the sections name. */
  prepare(folder: string): Promise<void>;
  /** With these sections of its configuration otherwise. @param env beside what it needs */
  startGateway(
    more?: Readonly<Record<string, unknown>>,
    env?: Readonly<Record<string, string>>,
  ): Promise<GatewayProcess>;
  /** Puts another certificate, and its key, in the place of the gateway's. */
  renewCertificate(): Promise<unknown>;
  /** @param age seconds since the person has authenticated */
  logIn(issuer: StaticIssuer, sub: string, age?: number): Promise<Logged>;
  /** Somebody with this token. */
  client(token: string): GatewayClient;
  /** A request by a connection of its own. @returns the status of its answer; 0 where there is none */
  passes(token: string): Promise<number>;
  stop(): Promise<void>;
}

/** @param behind where a broker is that people ask, and the gateway through the gate */
export async function makeGatewayBetween(behind: () => string): Promise<GatewayBetween> {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-between-'));
  const authority = await createCertificateAuthority(dir);
  const token = randomBytes(32).toString('base64');
  const token_file = path.join(dir, 'gateway-token');
  await writeFile(token_file, token, { mode: 0o600 });
  const [gate, api] = await Promise.all([startBrokerGate(authority, behind), startStreamingApiServer(authority)]);
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  let gateway: GatewayProcess | undefined;
  const clients = new Set<GatewayClient>();
  const clientOf = (given: string) => {
    const client = new GatewayClient(url, authority.caPem, given);
    clients.add(client);
    return client;
  };
  return {
    ...{ gate, api, authority, gateway_token: Buffer.from(token, 'base64').toString('base64url') },
    get gateway() {
      if (!gateway) throw new Error('the gateway was not started');
      return gateway;
    },
    sections: {
      issuer: gate.url,
      clusters: [
        {
          ...{ name: 'dev', server: api.url, ca_file: authority.caFile, audience: 'dev', allowed_groups: ['*'] },
          gateway: { url, ca_file: authority.caFile, token_file: 'gateway', record: ['exec', 'watch'] },
        },
      ],
    },
    prepare: (folder) => writeFile(path.join(folder, 'gateway'), token, { mode: 0o600 }),
    async startGateway(more = {}, env = {}) {
      gateway = await startGatewayProcess({
        ...{ dir, authority, port },
        broker: { url: gate.url, ca_file: authority.caFile, token_file },
        api_server: { url: api.url, ca_file: authority.caFile },
        ...{ more, env },
      });
      return gateway;
    },
    renewCertificate: () => authority.issue(GATEWAY_CERTIFICATE),
    async logIn(issuer, sub, age = 0) {
      const target = {
        issuer: gate.url,
        get url() {
          return behind();
        },
      };
      const holder = new Holder(target);
      const now = holder.now();
      const who = { iss: issuer.issuer, aud: 'curfew', sub, email: `${sub}@example.com`, email_verified: true };
      const times = { iat: now, exp: now + 300, auth_time: now - age, nonce: holder.nonce };
      const { granted } = await holder.exchange(issuer.sign({ ...who, ...times }), { audience: 'dev' });
      const { access_token, session, refresh_token = '' }: TokenReply = granted;
      const client = clientOf(access_token ?? '');
      return {
        ...{ sid: session.sid, client, holder, handle: refresh_token },
        async logOut() {
          const { status } = await holder.revoke(refresh_token);
          if (status !== 200) throw new Error(`not logged out: ${status}`);
        },
      };
    },
    client: clientOf,
    async passes(given) {
      const client = clientOf(given);
      const late = sleep(ANSWER_MS, 0, { ref: false });
      const asked = client.get('/api/v1/namespaces/dev/pods').then(
        ({ status }) => status,
        () => 0,
      );
      const status = await Promise.race([asked, late]);
      client.close();
      clients.delete(client);
      return status;
    },
    async stop() {
      for (const client of clients) client.close();
      await gateway?.kill();
      await Promise.all([gate.stop(), api.stop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
