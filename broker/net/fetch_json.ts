// JSON from the identity provider over HTTP: own CA, short waits, no redirects, bounded answers. Faults name the host and what happened.

import { Agent, fetch } from 'undici';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { tlsTo } from '../../serving/net/roots.ts';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { fromMilliseconds, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';

export interface FetchJson {
  /**
   * @param signal ends the wait earlier than our own limit
   * @throws FetchError (`identity_provider`)
   */
  get(url: string, signal?: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
  /** Whoever wants to know the clock of the other side is told with each answer. */
  onDate(listener: (date: Seconds) => void): void;
  close(): Promise<void>;
}

/** What kind of failure it was, for metrics: the last is an answer that cannot be used. */
export const FAILURE_KINDS = ['unreachable', 'timeout', 'certificate', 'status', 'answer'] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** The identity provider is away, or answers what cannot be used. */
export class FetchError extends CurfewError {
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string) {
    const hint = 'the file must hold the certificate authority that signed its certificate, in PEM';
    super('identity_provider', message, kind === 'certificate' ? { hint } : {});
    this.kind = kind;
  }
}

/** Milliseconds. */
export interface Waits {
  readonly connect: number;
  readonly total: number;
}

/** Who is asked, in words, and the setting that names their certificate authority. */
export interface Whose {
  readonly name: string;
  readonly ca_setting: string;
}

const IDP: Whose = { name: 'identity provider', ca_setting: 'identity_provider.ca_file' };
const WAITS: Waits = { connect: 3000, total: 5000 };
const LARGEST_BYTES = 1024 * 1024;

/**
 * @param ca PEM, added to the system's roots
 * @param whose how its faults name it
 */
export function createFetchJson(ca: string | undefined, waits: Waits = WAITS, whose: Whose = IDP): FetchJson {
  const fault = (url: string, kind: FailureKind, what: string) =>
    new FetchError(kind, `${whose.name} ${new URL(url).host} ${what}`);
  const dispatcher = new Agent({
    // said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing
    connect: { ...tlsTo(ca), timeout: waits.connect },
    headersTimeout: waits.total,
    bodyTimeout: waits.total,
  });
  const listeners: ((date: Seconds) => void)[] = [];
  const get = async (url: string, signal?: AbortSignal) => {
    const limit = AbortSignal.timeout(waits.total);
    try {
      const response = await fetch(url, {
        dispatcher,
        redirect: 'manual',
        headers: { accept: 'application/json', 'accept-encoding': 'identity' },
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      const date = dateOf(response.headers);
      if (date !== undefined) for (const listener of listeners) listener(date);
      if (response.status !== 200) {
        await response.body?.cancel();
        throw fault(url, 'status', sayStatus(response.status));
      }
      const text = await readBounded(response.body, LARGEST_BYTES);
      if (text === undefined) throw fault(url, 'answer', 'answered with more than 1 MiB');
      const value = parse(text);
      if (!value) throw fault(url, 'answer', 'answered with something that is not a JSON object');
      return value;
    } catch (error) {
      throw error instanceof CurfewError ? error : fault(url, ...sayFailure(error, whose.ca_setting));
    }
  };
  return { get, onDate: (listener) => void listeners.push(listener), close: () => dispatcher.destroy() };
}

/** RFC 9110 6.6.1; what a cache kept is older than it says (RFC 9111 5.1). */
function dateOf(headers: { get(name: string): string | null }): Seconds | undefined {
  const ms = Date.parse(headers.get('date') ?? '');
  const age = Number(headers.get('age') ?? 0);
  if (!(ms >= 0)) return undefined;
  return plus(fromMilliseconds(ms), Number.isSafeInteger(age) && age > 0 ? seconds(age) : seconds(0));
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = parseJson(text);
  return isObject(value) ? value : undefined;
}

function sayStatus(status: number): string {
  return status >= 300 && status < 400
    ? `answered with a redirect (${status}), which is not followed`
    : `answered ${status}`;
}

/** What a person can act on. Only codes are taken from the error: texts of others may carry more. */
function sayFailure(error: unknown, ca_setting: string): [FailureKind, string] {
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError'))
    return ['timeout', 'did not answer in time'];
  const code = codeOf(error);
  switch (code) {
    case 'ECONNREFUSED':
      return ['unreachable', 'refused the connection'];
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return ['unreachable', `has no address that is known here (${code})`];
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
    case 'ETIMEDOUT':
      return ['timeout', 'did not answer in time'];
    default:
      if (/CERT|SELF_SIGNED|ISSUER|ERR_TLS|SIGNATURE/.test(code)) {
        return ['certificate', `has a certificate that is not trusted (${code}): see ${ca_setting}`];
      }
      return ['unreachable', `cannot be reached (${code})`];
  }
}

function codeOf(error: unknown): string {
  let inner = error;
  for (let depth = 0; depth < 5 && inner instanceof Error; depth++) {
    if ('code' in inner && typeof inner.code === 'string') return inner.code;
    inner = inner.cause;
  }
  return 'no code';
}
