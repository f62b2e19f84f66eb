// A gateway of targets in this process, between a stand-in for the broker and targets of the test: with clocks that a test moves.

import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import type { TargetSettings } from '../../gateway/config/settings.ts';
import { type Gateway, type Surroundings, startGateway } from '../../gateway/serve.ts';
import type { ConnectionReply, ConnectionRequest } from '../../shared/connection_wire.ts';
import { CONNECT_PATH, CONNECT_PROTOCOL, type TargetKind } from '../../shared/targets.ts';
import { seconds } from '../../shared/time.ts';
import { TARGET_TOKEN_TYP } from '../../shared/token_typ.ts';
import { createCertificateAuthority } from './certificates.ts';
import { Holder, type ProofOptions } from './holder.ts';
import { until } from './patience.ts';
import { listenAnywhere } from './ports.ts';
import { type StandInBroker, startStandInBroker, USER } from './stand_in_broker.ts';
import { TargetClient } from './target_client.ts';

export const PUBLIC = 'https://gw.example.com';

/** What is behind the gateway, by its name. */
export interface TestTarget {
  readonly kind: TargetKind;
  readonly port: number;
  readonly account?: string;
}

/** What is otherwise than a client of ours has it. */
export interface Presents {
  readonly claims?: object;
  readonly header?: object;
  readonly proof?: ProofOptions;
  /** Whose key the proof is by: else the holder's of the session. */
  readonly by?: Holder;
}

export interface LoneTargetGateway extends Gateway {
  readonly broker: StandInBroker;
  readonly log: readonly string[];
  readonly ca: string;
  /** Milliseconds by which the machine's clock is ahead of this process's; and both clocks of the gateway ahead of the broker's. */
  readonly ahead: { wall: number };
  readonly targets: Map<string, TestTarget>;
  /** The names that the broker gave to connections there, in their order. */
  connections(target: string): readonly string[];
  /** All that the broker was asked. */
  readonly asked: readonly ConnectionRequest[];
  /** Headers as a client of ours sends them. */
  headers(sid: string, target: string, presents?: Presents): Record<string, string>;
  /** @returns once it is open @throws what it was refused with */
  connect(sid: string, target: string, presents?: Presents): Promise<TargetClient>;
  /** Stops with the test. */
  listen(accept: (socket: net.Socket) => void): Promise<number>;
  metrics(): Promise<string>;
  untilReady(): Promise<void>;
  /** Alone, and not what is around it. */
  stopItself(): Promise<void>;
}

/** @param changes of its settings @param around what is otherwise around it */
export async function startLoneTargetGateway(
  changes: Partial<TargetSettings> = {},
  around: Partial<Surroundings> = {},
): Promise<LoneTargetGateway> {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-lone-targets-'));
  const authority = await createCertificateAuthority(dir);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'gateway', hosts: ['127.0.0.1'] });
  const broker = await startStandInBroker();
  broker.beat_ms = 500;
  const ahead = { wall: 0 };
  const log: string[] = [];
  const targets = new Map<string, TestTarget>();
  const asked: ConnectionRequest[] = [];
  const replies: ConnectionReply[] = [];
  const holder = new Holder({ url: broker.place.url, issuer: broker.place.url });
  broker.onConnection = (request) => {
    asked.push(request);
    const target = targets.get(request.target);
    if (!target) return { code: 'not_admitted', message: 'no such target, or you have no access to it' };
    const { sid, username } = JSON.parse(Buffer.from(request.token.split('.')[1] ?? '', 'base64url').toString());
    const judged_sid = broker.replaced_by.get(sid) ?? sid;
    const now = broker.now();
    const reply: ConnectionReply = {
      ...{ connection: randomUUID(), sid, judged_sid, username, groups: [], target: request.target, kind: target.kind },
      facts: { auth_time: now, last_used: now, ...broker.facts.get(judged_sid) },
      ...{ limits: broker.limits, account: target.account, address: { host: '127.0.0.1', port: target.port } },
      broker_time: now,
    };
    replies.push(reply);
    return reply;
  };
  const settings: TargetSettings = {
    broker: broker.place,
    ...{ targets: true, public_url: PUBLIC },
    listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } },
    ...{ on_lost_broker: { cut_after: seconds(2) }, warn: 'off', drain: seconds(0) },
    metrics: { address: '127.0.0.1', port: 0 },
    ...changes,
  };
  const gateway = await startGateway(settings, {
    ...{ version: '0', of_process: false, delay: () => 0 },
    elapsed: () => performance.now(),
    wall: () => Date.now() + ahead.wall,
    log: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
    ...around,
  });
  const clients: TargetClient[] = [];
  const servers: net.Server[] = [];
  const sockets = new Set<net.Socket>();
  const lone: LoneTargetGateway = {
    ...gateway,
    ...{ broker, log, ahead, targets, asked, ca: authority.caPem },
    connections: (name) => replies.filter(({ target }) => target === name).map(({ connection }) => connection),
    headers(sid, target, { claims, header, proof, by = holder } = {}) {
      const now = broker.now();
      const token = broker.sign(
        { alg: 'ES256', typ: TARGET_TOKEN_TYP, ...header },
        {
          ...{ iss: broker.place.url, aud: `${target}-audience`, sub: sid, sid, username: USER, jti: randomUUID() },
          ...{ iat: now, nbf: now - 5, exp: now + 60, cnf: { jkt: holder.jkt }, target, ...claims },
        },
      );
      const ath = createHash('sha256').update(token).digest('base64url');
      const url = proof?.url ?? `${PUBLIC}${CONNECT_PATH}${target}`;
      const dpop = by.proof({ method: 'GET', url, ...proof, claims: { ath, ...proof?.claims } });
      return { authorization: `DPoP ${token}`, dpop };
    },
    async connect(sid, target, presents) {
      const url = gateway.url.replace(/^https:/, 'wss:') + CONNECT_PATH + target;
      const headers = lone.headers(sid, target, presents);
      const client = new TargetClient(new WebSocket(url, CONNECT_PROTOCOL, { ca: authority.caPem, headers }));
      clients.push(client);
      await client.opened;
      return client;
    },
    async listen(accept) {
      const server = net.createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => sockets.delete(socket));
        accept(socket);
      });
      servers.push(server);
      return listenAnywhere(server);
    },
    metrics: async () => (await fetch(`${gateway.health_url}/metrics`)).text(),
    untilReady: () => until(() => gateway.status() === 'ok', `it does not become ready: ${gateway.status()}`),
    stopItself: gateway.stop,
    async stop() {
      for (const client of clients) client.terminate();
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
      await gateway.stop();
      await broker.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
  await lone.untilReady();
  return lone;
}
