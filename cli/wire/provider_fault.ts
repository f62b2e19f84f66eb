// What went wrong at the identity provider, in words: its host and its refusal, never the library's own message.

import * as oidc from 'openid-client';
import { CurfewError } from '../../shared/errors.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { isObject } from '../../shared/wire.ts';
import { codeOf } from '../host/error_code.ts';
import { oneLine } from '../warm/one_line.ts';
import { HttpFault, hintOf } from './http.ts';
import { hintOfRefusal } from './refusal_hint.ts';

/** Names the host and what happened; never the library's own message, which may quote a token. */
export async function naming<T>(
  settings: Metadata['identity_provider'],
  work: () => Promise<T>,
  secret = '',
): Promise<T> {
  const { host } = new URL(settings.issuer);
  try {
    return await work();
  } catch (error) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      if (cause instanceof CurfewError) throw cause;
      if (cause instanceof HttpFault) {
        const message = `the identity provider at ${host} is out of reach: ${cause.message}`;
        throw new CurfewError('identity_provider', message, hintOf(cause));
      }
    }
    if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) {
      const said = sayRefusal(error.error, error.error_description, secret);
      const hint = hintOfRefusal(error.error, error.error_description, settings);
      const message = `the identity provider at ${host} refused: ${said}`;
      throw new CurfewError('login_failed', message, hint === undefined ? {} : { hint });
    }
    if (hasOtherNonce(error)) {
      throw new CurfewError('login_failed', `the identity provider at ${host} answered for another login`);
    }
    const message = `the identity provider at ${host} gave no valid answer (${codeOf(error)})`;
    throw new CurfewError('identity_provider', message, { hint: NO_ANSWER });
  }
}

/** A code of somebody else's login, where the identity provider does not hold codes to their requests by PKCE. */
function hasOtherNonce(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { cause } = error;
  return (isObject(cause) && cause.claim === 'nonce') || hasOtherNonce(cause);
}

const NO_ANSWER =
  'look whether a proxy or a page of the network answers in its place; else ask who runs curfew-broker for identity_provider.issuer';

/** In the identity provider's own words, without what it may quote of ours. */
export function sayRefusal(code: string, description: string | undefined, secret: string): string {
  const words = description ? `${code} (${description})` : code;
  return oneLine(secret === '' ? words : words.replaceAll(secret, '…')).slice(0, 200);
}
