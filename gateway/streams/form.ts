// What an upgraded connection speaks: how its frames are read, which of them are use, and how words are put between them.

import type { FrameScan } from '../frames/scan.ts';
import { SpdyScan, spdyData } from '../frames/spdy.ts';
import { WebSocketScan, webSocketClose, webSocketMessage } from '../frames/websocket.ts';
import type { Asked } from '../request/target.ts';
import { type Refusal, statusOf } from '../words.ts';

export interface Upgraded {
  readonly protocol: 'websocket' | 'spdy';
  /** Of the WebSocket, as it was agreed on. */
  readonly subprotocol: string;
  /** As it was judged: a path of a server behind `proxy` may be called anything. */
  readonly kind: Asked['kind'];
  readonly url: string;
}

export interface Form {
  /** From the client, and to it: there what is counted is output. */
  readonly up: FrameScan;
  readonly down: FrameScan;
  /** The last bytes to the client: what it can show of why, where nothing is half sent. */
  words(refusal: Refusal): Buffer;
  /** A line for the person; `undefined` where none would be seen. */
  warning(text: string): Buffer | undefined;
}

/** RFC 6455 7.4.1. With 1000 kubectl shows the Status alone; with 1008 three lines of its own beside. */
const NORMAL = 1000;
const POLICY_VIOLATION = 1008;
/** Channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`. */
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3 } as const;
const NOTHING = Buffer.alloc(0);

export function formOf(upgraded: Upgraded): Form {
  const { protocol, subprotocol, kind } = upgraded;
  const is_command = kind === 'exec' || kind === 'attach';
  if (protocol === 'spdy') return is_command ? spdyCommand(upgraded) : spdyOther();
  if (kind === 'portforward' && subprotocol.startsWith('SPDY/')) return tunnelled();
  return is_command ? channels(upgraded) : anyWebSocket();
}

interface Streams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

function streamsOf(url: string): Streams {
  const query = new URLSearchParams(url.slice(url.indexOf('?') + 1));
  const is = (name: string) => /^(1|true)$/i.test(query.get(name) ?? '');
  return { stdin: is('stdin'), stdout: is('stdout'), stderr: is('stderr'), tty: is('tty') };
}

/** On a terminal in raw mode a line needs its carriage return, before and after. */
const lineOf = (text: string, tty: boolean) => Buffer.from(tty ? `\r\n${text}\r\n` : `${text}\n`);

function channels({ url, subprotocol }: Upgraded): Form {
  const { stdout, stderr, tty } = streamsOf(url);
  const digits = subprotocol.startsWith('base64');
  const message = (channel: number, bytes: Buffer) =>
    digits
      ? webSocketMessage(Buffer.from(`${channel}${bytes.toString('base64')}`), true)
      : webSocketMessage(Buffer.concat([Buffer.from([channel]), bytes]));
  const scanOf = (...counted: readonly number[]) =>
    new WebSocketScan({ kind: 'channels', counts: (channel) => counted.includes(channel), digits });
  const down = scanOf(CHANNEL.stdout, CHANNEL.stderr);
  return {
    up: scanOf(CHANNEL.stdin),
    down,
    words: (refusal) => {
      const status = message(CHANNEL.error, Buffer.from(JSON.stringify(statusOf(refusal))));
      if (down.whole) return Buffer.concat([status, webSocketClose(NORMAL)]);
      return down.betweenFrames ? webSocketClose(POLICY_VIOLATION, refusal.message) : NOTHING;
    },
    warning: (text) => {
      const channel = tty && stdout ? CHANNEL.stdout : stderr && !tty ? CHANNEL.stderr : undefined;
      return channel === undefined ? undefined : message(channel, lineOf(text, tty));
    },
  };
}

/** client-go makes its streams in this order, with odd numbers: error, stdin, stdout, stderr, resize. */
function spdyCommand({ url }: Upgraded): Form {
  const { stdin, stdout, stderr, tty } = streamsOf(url);
  const order = [
    'error',
    ...(stdin ? ['stdin'] : []),
    ...(stdout ? ['stdout'] : []),
    ...(stderr && !tty ? ['stderr'] : []),
  ];
  const idOf = (name: string) => 2 * order.indexOf(name) + 1;
  const scanOf = (...counted: readonly string[]) =>
    new SpdyScan((stream) => counted.some((name) => order.includes(name) && stream === idOf(name)));
  const down = scanOf('stdout', 'stderr');
  return {
    up: scanOf('stdin'),
    down,
    words: (refusal) =>
      down.whole ? spdyData(idOf('error'), true, Buffer.from(JSON.stringify(statusOf(refusal)))) : NOTHING,
    warning: (text) => {
      const name = tty ? 'stdout' : 'stderr';
      return order.includes(name) ? spdyData(idOf(name), false, lineOf(text, tty)) : undefined;
    },
  };
}

/** Port-forward: bytes of the person are data of any stream. kubectl can show no reason. */
function spdyOther(): Form {
  return { up: new SpdyScan(), down: new SpdyScan(), words: () => NOTHING, warning: () => undefined };
}

/** Port-forward within WebSocket. Pings of SPDY are data of the WebSocket. */
function tunnelled(): Form {
  const scan = () => new WebSocketScan({ kind: 'spdy', inner: new SpdyScan() });
  return closing(scan(), scan());
}

/** Whatever is behind the API server's `proxy`. */
function anyWebSocket(): Form {
  return closing(new WebSocketScan({ kind: 'anything' }), new WebSocketScan({ kind: 'anything' }));
}

function closing(up: WebSocketScan, down: WebSocketScan): Form {
  const words = ({ message }: Refusal) => (down.betweenFrames ? webSocketClose(POLICY_VIOLATION, message) : NOTHING);
  return { up, down, words, warning: () => undefined };
}
