// One connection to a target, from the request to its end: whether it is made, the upgrade, the target, and the bytes between.

import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { CONNECT_PROTOCOL } from '../../shared/targets.ts';
import { isRefusal } from '../admit.ts';
import type { Authority } from '../authority/authority.ts';
import type { Speaker } from '../authority/leases.ts';
import type { Pending } from '../clients.ts';
import type { Live } from '../live/live.ts';
import type { Opened } from '../live/opened.ts';
import type { Metrics } from '../metrics.ts';
import { headerList } from '../request/headers.ts';
import { KEY_REVOKED, LOST_BROKER, type Refusal, TARGET_AWAY, TARGET_LOST, TOO_MANY_CONNECTIONS } from '../words.ts';
import type { Admission, Admitted } from './admit.ts';
import { closeWith, refuseConnection } from './closing.ts';
import { Relay } from './relay.ts';
import { isConnected, openUpstream, reset } from './upstream.ts';

/** Of one message, all its fragments together: what is not whole yet is kept. */
const LARGEST_MESSAGE_BYTES = 256 * 1024;
const MOST_FRAGMENTS = 64;
/** Pieces of TCP that one frame may come in. */
const MOST_CHUNKS = 4_096;
const MOST_PONGS = 16;
/** Milliseconds for a client to take what is left and to say goodbye: its session is judged meanwhile. */
const CLOSE_MS = 3_600_000;

export interface ConnectParts {
  readonly authority: Authority;
  readonly admission: Admission;
  readonly live: Live;
  readonly metrics: Metrics;
  readonly pending: Pending;
  /** Relays whose clients are to be pinged. */
  readonly relays: Set<Relay>;
  /** Is told the socket of whom the broker has let in. */
  readonly onLetIn: (end: IncomingMessage['socket']) => void;
}

const upgrades = new WebSocketServer({
  ...{ noServer: true, clientTracking: false, perMessageDeflate: false, handleProtocols: () => CONNECT_PROTOCOL },
  ...{ maxPayload: LARGEST_MESSAGE_BYTES, maxFragments: MOST_FRAGMENTS, maxBufferedChunks: MOST_CHUNKS },
  ...{ maxPendingAutoPongs: MOST_PONGS, closeTimeout: CLOSE_MS },
});

export function refuse(socket: Duplex, refusal: Refusal, metrics: Pick<Metrics, 'request'>): void {
  metrics.request('refused', refusal.code);
  refuseConnection(socket, refusal);
}

/** @param socket whose errors are looked after @param early what came after the head, before anything was answered */
export async function connect(
  parts: ConnectParts,
  request: IncomingMessage,
  socket: Duplex,
  early: Buffer,
): Promise<void> {
  const { admission, metrics, pending, onLetIn } = parts;
  const { remoteAddress = '' } = request.socket;
  const leave = pending.enter(remoteAddress);
  if (!leave) return refuse(socket, TOO_MANY_CONNECTIONS, metrics);
  try {
    const head = { method: request.method ?? '', url: request.url ?? '', headers: headerList(request.rawHeaders) };
    const admitted = await admission.admit(head, remoteAddress, () => socket.destroyed);
    if (!isRefusal(admitted)) {
      onLetIn(request.socket);
      await new Connecting(parts, admitted, socket).run(request, early);
    } else if (!socket.destroyed) refuse(socket, admitted, metrics);
  } finally {
    leave();
  }
}

class Connecting {
  readonly #parts: ConnectParts;
  readonly #admitted: Admitted;
  readonly #socket: Duplex;
  readonly #speaker: Speaker;
  readonly #opened: Opened;
  #client: WebSocket | undefined;
  #upstream: Socket | undefined;
  #relay: Relay | undefined;

  constructor(parts: ConnectParts, admitted: Admitted, socket: Duplex) {
    this.#parts = parts;
    this.#admitted = admitted;
    this.#socket = socket;
    const { reply, kid } = admitted;
    const { sid, judged_sid, username, kind, target, account, connection, limits } = reply;
    this.#speaker = { asked: { sid }, user: username };
    // From here on whatever ends the session ends this.
    this.#opened = parts.live.add({
      ...{ speaker: this.#speaker, kid, segment: limits.segment },
      asked: { kind, within: { target, account }, is_use: true, connection, sid: judged_sid },
      cut: (refusal) => this.#cut(refusal),
      warn: (text) => this.#warn(text),
    });
  }

  async run(request: IncomingMessage, early: Buffer): Promise<void> {
    const { metrics, relays } = this.#parts;
    const opened = this.#opened;
    const refusal = await this.#judge();
    if (refusal) opened.mark(refusal);
    opened.cut();
    if (opened.refusal) return;
    const client = this.#upgrade(request, early);
    if (!client) return opened.close();
    metrics.request('passed');
    opened.accepted(false);
    const { reply } = this.#admitted;
    const upstream = openUpstream(reply.address);
    this.#upstream = upstream;
    const is_connected = await isConnected(upstream);
    if (opened.refusal) return;
    if (client.readyState !== client.OPEN) {
      reset(upstream);
      return opened.close();
    }
    if (!is_connected) return this.#unreachable(client);
    const relay = new Relay({
      ...{ client, upstream, opened, half_closes: reply.kind === 'tcp' },
      onFailure: (failure) => {
        if (failure === TARGET_LOST) metrics.upstreamError('broken');
        opened.fail(failure.code);
      },
    });
    this.#relay = relay;
    relays.add(relay);
    client.once('close', () => relays.delete(relay));
  }

  /** As of now: what the broker said may be over, or void, by what it told since. */
  async #judge(): Promise<Refusal | undefined> {
    const { leases } = this.#parts.authority;
    const { target, account } = this.#admitted.reply;
    const within = { target, account };
    const judge = () => leases.judge(this.#speaker, within);
    if (judge().kind === 'unknown') await leases.obtain(this.#speaker.asked, within).catch(() => undefined);
    if (this.#parts.authority.keys.isRevoked(this.#admitted.kid)) return KEY_REVOKED;
    const judgement = judge();
    switch (judgement.kind) {
      case 'allowed':
        return this.#parts.authority.lost() ? LOST_BROKER : undefined;
      case 'denied':
        return judgement.refusal;
      case 'unknown':
        return LOST_BROKER;
    }
  }

  /** Nothing of it is read until there is somebody to pass it on to. */
  #upgrade(request: IncomingMessage, early: Buffer): WebSocket | undefined {
    if (this.#socket.destroyed) return undefined;
    upgrades.handleUpgrade(request, this.#socket, early, (client) => {
      this.#client = client;
      client.pause();
      client.on('error', () => undefined);
      client.once('close', () => this.#relay || this.#gone());
    });
    return this.#client;
  }

  #gone(): void {
    if (this.#upstream) reset(this.#upstream);
    this.#opened.close();
  }

  #unreachable(client: WebSocket): void {
    this.#parts.metrics.upstreamError('connect');
    this.#opened.fail(TARGET_AWAY.code);
    closeWith(client, TARGET_AWAY);
  }

  #cut(refusal: Refusal): void {
    if (this.#upstream && !this.#relay) reset(this.#upstream);
    if (this.#relay) this.#relay.cut(refusal);
    else if (this.#client) closeWith(this.#client, refusal);
    else refuse(this.#socket, refusal, this.#parts.metrics);
  }

  #warn(text: string): boolean {
    this.#relay?.warn(text);
    return this.#relay !== undefined;
  }
}
