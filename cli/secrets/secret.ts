// The small secrets of one broker, and what a place that keeps them must do.

import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import { isPrivateJwk, type PrivateJwk } from '../wire/dpop.ts';

export interface Secret {
  /** Outlives logins. */
  readonly dpop_private_jwk: PrivateJwk;
  /** The session handle, while there is a session. */
  readonly handle?: string | undefined;
  /** With which its identity provider confirms the account again, where limits want that. */
  readonly refresh?:
    | {
        readonly issuer: string;
        readonly refresh_token: string;
        /** The session at the identity provider that it belongs to, where that is known. */
        readonly sid?: string | undefined;
      }
    | undefined;
}

/** The OS keychain, or a file. Each call names the broker by its key. */
export interface SecretStore {
  /** @returns `undefined` when it has none. @throws SecretFault */
  load(broker: string): Promise<Secret | undefined>;
  /** @throws SecretFault */
  save(broker: string, secret: Secret): Promise<void>;
  /** @throws SecretFault */
  erase(broker: string): Promise<void>;
}

/** A place for secrets that does not work here and now. Its message may be shown. */
export class SecretFault extends Error {}

export function parseSecret(text: string): Secret | undefined {
  const value = parseJson(text);
  if (!isObject(value) || !isPrivateJwk(value.dpop_private_jwk)) return undefined;
  const { dpop_private_jwk, handle, refresh } = value;
  return {
    dpop_private_jwk,
    ...(isText(handle) && { handle }),
    ...(isRefresh(refresh) && { refresh: refreshOf(refresh) }),
  };
}

export function printSecret({ dpop_private_jwk, handle, refresh }: Secret): string {
  return JSON.stringify({ dpop_private_jwk, handle, refresh });
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function refreshOf({ issuer, refresh_token, sid }: NonNullable<Secret['refresh']>): Secret['refresh'] {
  return { issuer, refresh_token, ...(isText(sid) && { sid }) };
}

function isRefresh(value: unknown): value is NonNullable<Secret['refresh']> {
  return isObject(value) && isText(value.issuer) && isText(value.refresh_token);
}
