// Two sockets that speak with one another through us, byte by byte: nothing is changed, frames are only counted. At a cut nothing more goes
// to the API server, what is half sent to the client is finished, and then it is told why.

import type { Duplex } from 'node:stream';
import type { Opened } from '../live/opened.ts';
import type { Refusal } from '../words.ts';
import { type Form, formOf, type Upgraded } from './form.ts';
import { Rest, WORDS_MS } from './rest.ts';

const NOTHING = Buffer.alloc(0);
/** Milliseconds between the end of one side and that of the other. */
const HALF_MS = 2_000;
/** Of one direction, after which others have their turn. */
const TURN_BYTES = 256 * 1024;

export class Tunnel {
  readonly #client: Duplex;
  readonly #upstream: Duplex;
  readonly #opened: Pick<Opened, 'sent' | 'received'>;
  readonly #form: Form;
  readonly #passUp: (bytes: Buffer) => void;
  readonly #passDown: (bytes: Buffer) => void;
  /** Of the frame that is half sent. */
  readonly #rest = new Rest();
  /** That waits for a place. */
  #warning: Buffer | undefined;
  #cutting = false;

  constructor(client: Duplex, upstream: Duplex, opened: Pick<Opened, 'sent' | 'received'>, upgraded: Upgraded) {
    this.#client = client;
    this.#upstream = upstream;
    this.#opened = opened;
    this.#form = formOf(upgraded);
    this.#passUp = passing(client, upstream);
    this.#passDown = passing(upstream, client);
  }

  /** @param early of the client, before it was answered @param rest of the API server, after its head */
  begin(early: Buffer, rest: Buffer): void {
    const [client, upstream] = [this.#client, this.#upstream];
    for (const socket of [client, upstream])
      if ('setNoDelay' in socket) (socket as { setNoDelay(): void }).setNoDelay();
    if (rest.length > 0) this.#fromUpstream(rest);
    if (early.length > 0) this.#fromClient(early);
    upstream.on('data', (bytes: Buffer) => this.#fromUpstream(bytes));
    client.on('data', (bytes: Buffer) => this.#fromClient(bytes));
    upstream.once('end', () => {
      if (this.#cutting) return this.#rest.over();
      client.end();
      closeLater(client, HALF_MS);
    });
    client.once('end', () => {
      if (this.#cutting) return;
      upstream.end();
      closeLater(upstream, HALF_MS);
    });
    upstream.once('close', () => {
      if (this.#cutting) return this.#rest.over();
      if (!client.writableEnded) client.end();
      closeLater(client, HALF_MS);
    });
    client.once('close', () => upstream.destroy());
  }

  /** Where nothing is half sent: at once, or after the rest of the frame. Nothing is said where kubectl would not show it. */
  warn(text: string): void {
    if (this.#cutting || this.#client.writableEnded) return;
    this.#warning = this.#form.warning(text);
    this.#warnWithin(NOTHING);
  }

  cut(refusal: Refusal): void {
    this.#cutting = true;
    const [client, upstream] = [this.#client, this.#upstream];
    // What it still sends goes nowhere.
    client.removeAllListeners('data');
    client.resume();
    if (upstream.destroyed || this.#form.down.whole) {
      this.#say(refusal);
      return;
    }
    // In a flood a client is behind most of the time: one that reads is in time for the rest, and one that does not is not waited for.
    this.#rest.wait(() => this.#say(refusal));
    if (!client.writableNeedDrain) upstream.resume();
  }

  #say(refusal: Refusal): void {
    const client = this.#client;
    this.#upstream.destroy();
    if (!client.destroyed) client.end(this.#form.words(refusal));
    closeLater(client, WORDS_MS);
  }

  #fromUpstream(bytes: Buffer): void {
    if (this.#cutting) {
      if (!this.#rest.awaited) return;
      this.#passDown(bytes.subarray(0, this.#form.down.finish(bytes)));
      if (this.#form.down.whole) this.#rest.over();
      return;
    }
    const rest = bytes.subarray(this.#warnWithin(bytes));
    this.#opened.received(bytes.length, this.#form.down.push(rest));
    this.#passDown(rest);
  }

  /** Passes on what belongs to the frame that is half sent, and then says the warning that waits for its end. @returns how many bytes that were */
  #warnWithin(bytes: Buffer): number {
    if (this.#warning === undefined) return 0;
    const end = this.#form.down.finish(bytes);
    this.#client.write(bytes.subarray(0, end));
    if (!this.#form.down.whole) return end;
    this.#client.write(this.#warning);
    this.#warning = undefined;
    return end;
  }

  #fromClient(bytes: Buffer): void {
    this.#opened.sent(bytes.length, this.#form.up.push(bytes));
    this.#passUp(bytes);
  }
}

/** Passes on what comes from one side. A side that does not read is waited for: nothing is kept for it. */
function passing(from: Duplex, to: Duplex): (bytes: Buffer) => void {
  let passed = 0;
  const goOn = () => {
    passed = 0;
    from.resume();
  };
  return (bytes) => {
    if (to.destroyed || to.writableEnded) return;
    passed += bytes.length;
    const is_full = !to.write(bytes);
    if (!is_full && passed < TURN_BYTES) return;
    from.pause();
    if (is_full) to.once('drain', goOn);
    else setImmediate(goOn);
  };
}

function closeLater(socket: Duplex, ms: number): void {
  const timer = setTimeout(() => socket.destroy(), ms).unref();
  socket.once('close', () => clearTimeout(timer));
}
