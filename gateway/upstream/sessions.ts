// HTTP/2 sessions to the API server: many streams on few connections. One that is going away takes no new streams; one that stands still
// is given up.

import http2 from 'node:http2';
import type { TlsOptions } from '../../serving/net/roots.ts';

/** API servers allow 100 and more at a time. */
const MOST_STREAMS = 90;
/** What a client that does not read makes us keep of an answer, at most. */
const STREAM_WINDOW_BYTES = 2 * 1024 * 1024;
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Of what is sent to us, at most. An API server writes each frame by itself: 16 KiB, as it is unless said otherwise, costs a large list more. */
const FRAME_BYTES = 256 * 1024;
/** Milliseconds between two pings, and until their answer. */
const PING_MS = 15_000;
const ANSWER_MS = 10_000;
const CONNECT_MS = 10_000;
/** For how long one is kept that nothing is on, while there are others. */
const IDLE_MS = 20_000;

interface Held {
  readonly session: http2.ClientHttp2Session;
  streams: number;
  leaving: boolean;
  /** Runs while nothing is on it. */
  idle: NodeJS.Timeout | undefined;
}

export class Sessions {
  readonly #url: string;
  readonly #tls: TlsOptions;
  readonly #held = new Set<Held>();
  #closed = false;

  readonly #idle_ms: number;

  constructor(url: string, tls: TlsOptions, idle_ms = IDLE_MS) {
    this.#idle_ms = idle_ms;
    this.#url = url;
    this.#tls = tls;
  }

  /**
   * @param end whether there is no body
   * @throws Error of Node.js for headers that HTTP/2 cannot have
   */
  request(headers: http2.OutgoingHttpHeaders, end: boolean): http2.ClientHttp2Stream {
    const held = this.#free() ?? this.#connect();
    const stream = held.session.request(headers, { endStream: end });
    held.streams += 1;
    clearTimeout(held.idle);
    stream.once('close', () => {
      held.streams -= 1;
      if (held.streams === 0) held.idle = setTimeout(() => this.#leave(held), this.#idle_ms).unref();
      // Whatever was refused with it, and all that come now, are for another; it goes when nothing is on it any more.
      if (stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM && !held.session.closed) held.session.close();
    });
    return stream;
  }

  close(): void {
    this.#closed = true;
    for (const { session } of this.#held) session.destroy();
  }

  #free(): Held | undefined {
    for (const held of this.#held) {
      const { session, streams, leaving } = held;
      if (!leaving && !session.closed && !session.destroyed && streams < MOST_STREAMS) return held;
    }
    return undefined;
  }

  /** What a crowd has opened is not kept for the next. */
  #leave(held: Held): void {
    if (held.streams === 0 && this.#held.size > 1) held.session.close();
  }

  #connect(): Held {
    const options = {
      ...this.#tls,
      ALPNProtocols: ['h2'],
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES, maxFrameSize: FRAME_BYTES },
      maxSessionMemory: 64,
      // What may be there once is for those who read it: they are sent it as it came.
      strictSingleValueFields: false,
    };
    const session = http2.connect(this.#url, options);
    const held: Held = { session, streams: 0, leaving: this.#closed, idle: undefined };
    this.#held.add(held);
    const connecting = setTimeout(() => session.destroy(new Error('no connection in time')), CONNECT_MS);
    let pinging: NodeJS.Timeout | undefined;
    session.once('connect', () => {
      clearTimeout(connecting);
      session.setLocalWindowSize(SESSION_WINDOW_BYTES);
      pinging = setInterval(() => ping(session), PING_MS).unref();
    });
    session.on('goaway', () => {
      held.leaving = true;
    });
    // Its streams tell of it.
    session.on('error', () => undefined);
    session.once('close', () => {
      clearTimeout(connecting);
      clearInterval(pinging);
      clearTimeout(held.idle);
      this.#held.delete(held);
    });
    return held;
  }
}

function ping(session: http2.ClientHttp2Session): void {
  if (session.closed || session.destroyed) return;
  const timer = setTimeout(() => session.destroy(new Error('no answer to a ping')), ANSWER_MS).unref();
  try {
    session.ping(() => clearTimeout(timer));
  } catch {
    clearTimeout(timer);
  }
}
