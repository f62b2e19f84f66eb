// How each layer writes a length, read as it would read it. A text that its grammar does not have is refused, never guessed: whole
// seconds without a unit, or milliseconds, look alike, and mean a thousand times more.

import type { Seconds } from '../../shared/time.ts';

/** Each with what it reads, for people. */
export const UNITS = {
  bare_seconds: 'whole seconds and nothing after them: 300',
  nginx_time: 'as nginx: 90, 5m, 1h 30m; without a unit seconds',
  haproxy_time: 'as HAProxy: 5s, 1h, one number and one unit; without a unit milliseconds; at most 24d',
  go_duration: 'as Go: 1h30m, 1.5h, 0; a unit is needed',
  traefik_duration: 'as Go, or whole seconds without a unit',
  gateway_duration: 'GEP-2257: 1h30m, 500ms; no fractions, a unit is needed',
  protobuf_duration: 'seconds with an s: 300s, 0.5s',
  contour_duration: 'as Go, or infinity',
  linkerd_duration: 'one number and one unit: 10s, 500ms, 1h; or 0',
  nft_time: 'as nft: 1d2h3m4s, 500ms; without a unit seconds',
  grpc_timeout: 'at most eight digits and one of H M S m u n: 4000m is 4 s',
} as const;
export type Unit = keyof typeof UNITS;

/** A length in milliseconds (what is less is rounded up, so that it is not taken for zero), or one without an end. */
export type Length = { readonly ms: number } | 'infinite';

/**
 * @param value as it is in a file: a text, or a number where the file's own language has numbers
 * @returns what the layer makes of it; `undefined` where the layer refuses it, or would read something else than is meant
 */
export function readLength(unit: Unit, value: unknown): Length | undefined {
  const text = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? String(value) : value;
  if (typeof text !== 'string' || text.length > LONGEST_TEXT) return undefined;
  if (typeof value === 'number' && !NUMBERS.has(unit)) return undefined;
  const length = READERS[unit](text);
  return length === undefined || length === 'infinite' ? length : whole(length);
}

/**
 * @param length whole seconds, at least one
 * @returns the text that the layer reads as that length
 * @throws TypeError where it cannot say so much: our bug, as a limit is at most a year
 */
export function writeLength(unit: Unit, length: Seconds): string {
  const text = WRITERS[unit](length);
  const read = readLength(unit, text);
  if (read === undefined || read === 'infinite' || read.ms !== length * 1000) {
    throw new TypeError(`${length} seconds cannot be written as ${unit}`);
  }
  return text;
}

const LONGEST_TEXT = 64;
/** Where a number of YAML or JSON is taken for the text of it. */
const NUMBERS: ReadonlySet<Unit> = new Set([
  'bare_seconds',
  'nginx_time',
  'haproxy_time',
  'traefik_duration',
  'nft_time',
]);

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

type Scale = Readonly<Record<string, number>>;
const GO: Scale = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: SECOND, m: MINUTE, h: HOUR };
const NGINX: Scale = {
  y: 365 * DAY,
  M: 30 * DAY,
  w: 7 * DAY,
  d: DAY,
  h: HOUR,
  m: MINUTE,
  s: SECOND,
  ms: 1,
};
const HAPROXY: Scale = { us: 1e-3, ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };
const GATEWAY: Scale = { ms: 1, s: SECOND, m: MINUTE, h: HOUR };
const LINKERD: Scale = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };
const NFT: Scale = { d: DAY, h: HOUR, m: MINUTE, s: SECOND, ms: 1 };
const GRPC: Scale = { H: HOUR, M: MINUTE, S: SECOND, m: 1, u: 1e-3, n: 1e-6 };

/** The longest that HAProxy's timers hold: 2^31 - 1 ms. */
const HAPROXY_LONGEST = 2 ** 31 - 1;
/** The longest that Go's `time.Duration` holds. */
const GO_LONGEST = (2 ** 63 - 1) / 1e6;

const NGINX_FORM = new RegExp(
  `^${['y', 'M', 'w', 'd', 'h', 'm', 's', 'ms'].map((unit) => `([0-9]{1,9}${unit})?`).join(' *')}$`,
);

type Read = Length | undefined;
const READERS: Readonly<Record<Unit, (text: string) => Read>> = {
  bare_seconds: (text) => (/^[0-9]{1,10}$/.test(text) ? { ms: Number(text) * SECOND } : undefined),
  nginx_time: readNginx,
  haproxy_time: (text) => atMost(HAPROXY_LONGEST, one(text, HAPROXY, 1)),
  go_duration: readGo,
  traefik_duration: (text) => (/^[0-9]{1,9}$/.test(text) ? { ms: Number(text) * SECOND } : readGo(text)),
  gateway_duration: (text) => (/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text) ? sum(text, GATEWAY) : undefined),
  protobuf_duration: (text) =>
    /^[0-9]{1,12}(\.[0-9]{1,9})?s$/.test(text) ? { ms: Number(text.slice(0, -1)) * SECOND } : undefined,
  contour_duration: (text) => (text === 'infinity' || text === 'infinite' ? 'infinite' : readGo(text)),
  linkerd_duration: (text) => (text === '0' ? { ms: 0 } : one(text, LINKERD)),
  nft_time: readNft,
  grpc_timeout: (text) => (/^[0-9]{1,8}[HMSmun]$/.test(text) ? sum(text, GRPC) : undefined),
};

/** Units from the largest to the smallest, each once, spaces between; a last number without a unit is seconds. */
function readNginx(text: string): Read {
  const whole = /[0-9]$/.test(text) ? `${text}s` : text;
  return whole.trim() === whole && whole !== '' && NGINX_FORM.test(whole)
    ? sum(whole.replaceAll(' ', ''), NGINX)
    : undefined;
}

function readGo(text: string): Read {
  if (text === '0') return { ms: 0 };
  if (!/^(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  return atMost(GO_LONGEST, sum(text, GO));
}

function readNft(text: string): Read {
  if (/^[0-9]{1,8}$/.test(text)) return { ms: Number(text) * SECOND };
  return text !== '' && /^([0-9]{1,8}d)?([0-9]{1,8}h)?([0-9]{1,8}m)?([0-9]{1,8}s)?([0-9]{1,8}ms)?$/.test(text)
    ? sum(text, NFT)
    : undefined;
}

/** One number and one unit; `bare` is what a number alone counts. */
function one(text: string, scale: Scale, bare?: number): Read {
  const [, digits = '', name = ''] = /^([0-9]{1,12})([a-z]*)$/.exec(text) ?? [];
  const size = name === '' ? bare : scale[name];
  return digits === '' || size === undefined ? undefined : { ms: Number(digits) * size };
}

/** All numbers of a text that its grammar has already been held against. */
function sum(text: string, scale: Scale): Read {
  let ms = 0;
  for (const [, number = '', name = ''] of text.matchAll(/([0-9.]+)([a-zA-Zµμ]+)/gu)) {
    ms += Number(number) * (scale[name] ?? Number.NaN);
  }
  return Number.isFinite(ms) ? { ms } : undefined;
}

function atMost(most: number, length: Read): Read {
  return length === undefined || length === 'infinite' || length.ms <= most ? length : undefined;
}

function whole({ ms }: { readonly ms: number }): Length {
  return { ms: Math.ceil(Number(ms.toFixed(6))) };
}

const seconds = (length: Seconds) => `${length}s`;
const WRITERS: Readonly<Record<Unit, (length: Seconds) => string>> = {
  bare_seconds: String,
  nginx_time: seconds,
  haproxy_time: seconds,
  go_duration: seconds,
  traefik_duration: seconds,
  gateway_duration: inHours,
  protobuf_duration: seconds,
  contour_duration: seconds,
  linkerd_duration: seconds,
  nft_time: seconds,
  grpc_timeout: (length) => `${length}S`,
};

/** No number there has more than five digits. */
function inHours(length: Seconds): string {
  if (length < 100_000) return `${length}s`;
  const [hours, minutes, rest] = [Math.floor(length / 3600), Math.floor(length / 60) % 60, length % 60];
  return `${hours}h${minutes > 0 ? `${minutes}m` : ''}${rest > 0 ? `${rest}s` : ''}`;
}
