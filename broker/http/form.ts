// Request bodies: one form, parsed once and strictly. What these functions return is not checked again.

import { formatDuration, LONGEST } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { GRANT, TOKEN_TYPE } from '../../shared/wire.ts';
import type { ExchangeRequest } from '../grants/exchange.ts';
import type { RenewalRequest } from '../grants/renewal.ts';
import type { SwapRequest } from '../grants/swap.ts';
import { parsePublicKey } from '../ssh/public_key.ts';

export type Form = ReadonlyMap<string, string>;

/** Larger than any ID token that is taken, with all that goes with it. */
export const LARGEST_BODY_BYTES = 32_768;
const MOST_PARAMETERS = 64;
/** With those that are empty. */
const MOST_PAIRS = 1024;

/**
 * Parses `application/x-www-form-urlencoded`, strictly: what a lenient parser would mend, two of them mend differently.
 *
 * @throws CurfewError `request_invalid` for a byte that is not to stand there, a malformed percent sequence, what is not UTF-8,
 *   too many parameters, and one that is repeated (RFC 6749 3.2)
 */
export function parseForm(body: Uint8Array | string): Form {
  const text =
    typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1');
  if (!/^[!-~]*$/.test(text)) throw invalid('the form has a byte that is to be percent-encoded');
  const form = new Map<string, string>();
  const pairs = text.split('&', MOST_PAIRS + 1);
  if (pairs.length > MOST_PAIRS) throw invalid('too many parameters');
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    if (form.has(name)) throw invalid('a parameter is repeated');
    form.set(name, equals === -1 ? '' : decode(pair.slice(equals + 1)));
    if (form.size > MOST_PARAMETERS) throw invalid('too many parameters');
  }
  return form;
}

export type TokenRequest =
  | { readonly grant: 'exchange'; readonly request: ExchangeRequest }
  | { readonly grant: 'renewal'; readonly request: RenewalRequest };

/** Before it is known to be a good one. */
export function isRenewal(form: Form | undefined): boolean {
  return form?.get('grant_type') === GRANT.renewal;
}

/** @throws CurfewError `request_invalid` or `grant_type`, naming the parameter */
export function parseTokenRequest(form: Form): TokenRequest {
  switch (required(form, 'grant_type')) {
    case GRANT.exchange:
      return { grant: 'exchange', request: parseExchange(form) };
    case GRANT.renewal: {
      const request = { refresh_token: required(form, 'refresh_token'), audience: required(form, 'audience') };
      const more = { max_age: parseMaxAge(form), id_token: optional(form, 'id_token'), ...parseAsWhom(form) };
      return { grant: 'renewal', request: { ...request, ...more } };
    }
    default:
      throw new CurfewError('grant_type', 'grant_type: neither token-exchange nor refresh_token');
  }
}

/** Of a gateway. @throws CurfewError `request_invalid` or `grant_type`, naming the parameter */
export function parseSwap(form: Form): SwapRequest {
  if (required(form, 'grant_type') !== GRANT.exchange)
    throw new CurfewError('grant_type', 'grant_type: not token-exchange');
  if (required(form, 'subject_token_type') !== TOKEN_TYPE.jwt)
    throw invalid(`subject_token_type: expected ${TOKEN_TYPE.jwt}`);
  return { subject_token: required(form, 'subject_token'), audience: required(form, 'audience') };
}

function parseExchange(form: Form): ExchangeRequest {
  if (required(form, 'subject_token_type') !== TOKEN_TYPE.id_token) {
    throw invalid(`subject_token_type: expected ${TOKEN_TYPE.id_token}`);
  }
  return {
    subject_token: required(form, 'subject_token'),
    client_id: required(form, 'client_id'),
    nonce_random: optional(form, 'nonce_random'),
    audience: optional(form, 'audience'),
    max_age: parseMaxAge(form),
    ...parseAsWhom(form),
  };
}

/** Of a token for a target; elsewhere they say nothing. */
function parseAsWhom(form: Form) {
  const ssh_public_key = optional(form, 'ssh_public_key');
  const read = ssh_public_key === undefined ? undefined : parsePublicKey(ssh_public_key);
  if (read && 'fault' in read) throw invalid(`ssh_public_key: ${read.fault}`);
  const credential = optional(form, 'credential');
  if (credential !== undefined && credential !== 'none') throw invalid('credential: expected "none"');
  return { account: optional(form, 'account'), ssh_public_key, way_alone: credential === 'none' };
}

/** @throws CurfewError `request_invalid` */
export function required(form: Form, name: string): string {
  const value = form.get(name);
  if (value === undefined || value === '') throw invalid(`${name}: is required`);
  return value;
}

/** A parameter without a value is as if it were not there (RFC 6749 3.2). */
function optional(form: Form, name: string): string | undefined {
  return form.get(name) || undefined;
}

/** Seconds in decimal, as OIDC Core 3.1.2.1 writes it; zero, negative and absurd are refused. */
function parseMaxAge(form: Form): Seconds | undefined {
  const text = optional(form, 'max_age');
  if (text === undefined) return undefined;
  const value = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : undefined;
  if (!isSeconds(value) || value > LONGEST) {
    throw invalid(`max_age: expected seconds from 1 to ${LONGEST} (${formatDuration(LONGEST)})`);
  }
  return value;
}

/** Also not of overlong UTF-8, of half a character, or of NUL. */
function decode(part: string): string {
  try {
    const text = decodeURIComponent(part.replaceAll('+', ' '));
    if (!text.includes('\0')) return text;
  } catch (cause) {
    throw new CurfewError('request_invalid', 'a parameter is not UTF-8, percent-encoded', { cause });
  }
  throw invalid('a parameter has a NUL character');
}

function invalid(message: string): CurfewError {
  return new CurfewError('request_invalid', message);
}
