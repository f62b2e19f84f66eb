// JSON from the identity provider over HTTP: own CA, short waits, no redirects, bounded answers. Faults name the host and what happened.

import { getCACertificates } from 'node:tls';
import { Agent, fetch } from 'undici';
import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';

export interface FetchJson {
  /**
   * @param signal ends the wait earlier than our own limit
   * @throws FetchError (`identity_provider`)
   */
  get(url: string, signal?: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
  close(): Promise<void>;
}

/** What kind of failure it was, for metrics: the last is an answer that cannot be used. */
export const FAILURE_KINDS = ['unreachable', 'timeout', 'certificate', 'status', 'answer'] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** The identity provider is away, or answers what cannot be used. */
export class FetchError extends CurfewError {
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string) {
    super('identity_provider', message);
    this.kind = kind;
  }
}

/** Milliseconds. */
export interface Waits {
  readonly connect: number;
  readonly total: number;
}

const WAITS: Waits = { connect: 3000, total: 5000 };
const LARGEST = 1024 * 1024;

/**
 * @param ca PEM, added to the system's roots
 */
export function createFetchJson(ca: string | undefined, waits: Waits = WAITS): FetchJson {
  const roots = [...getCACertificates('default'), ...getCACertificates('system'), ...(ca === undefined ? [] : [ca])];
  const dispatcher = new Agent({
    // said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing
    connect: { ca: [...new Set(roots)], timeout: waits.connect, rejectUnauthorized: true },
    headersTimeout: waits.total,
    bodyTimeout: waits.total,
  });
  const get = async (url: string, signal?: AbortSignal) => {
    const limit = AbortSignal.timeout(waits.total);
    try {
      const response = await fetch(url, {
        dispatcher,
        redirect: 'manual',
        headers: { accept: 'application/json', 'accept-encoding': 'identity' },
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw fault(url, 'status', sayStatus(response.status));
      }
      return parse(url, await readBounded(url, response.body));
    } catch (error) {
      throw error instanceof CurfewError ? error : fault(url, ...sayFailure(error));
    }
  };
  return { get, close: () => dispatcher.destroy() };
}

async function readBounded(url: string, body: AsyncIterable<Uint8Array> | null): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > LARGEST) throw fault(url, 'answer', 'answered with more than 1 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(url: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // falls through: what stands there is not repeated
  }
  throw fault(url, 'answer', 'answered with something that is not a JSON object');
}

function sayStatus(status: number): string {
  return status >= 300 && status < 400
    ? `answered with a redirect (${status}), which is not followed`
    : `answered ${status}`;
}

/** What a person can act on. Only codes are taken from the error: texts of others may carry more. */
function sayFailure(error: unknown): [FailureKind, string] {
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
        return ['certificate', `has a certificate that is not trusted (${code}): see identity_provider.ca_file`];
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

function fault(url: string, kind: FailureKind, what: string): FetchError {
  return new FetchError(kind, `identity provider ${new URL(url).host} ${what}`);
}
