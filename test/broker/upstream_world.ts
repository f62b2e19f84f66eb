// The broker's view of one identity provider, with a clock that the test sets and tokens signed by the provider's own key.

import assert from 'node:assert/strict';
import { pino } from 'pino';
import { createFetchJson, type Waits } from '../../broker/net/fetch_json.ts';
import type { IdTokenClaims } from '../../broker/upstream/id_token.ts';
import { createIdentityProvider, type IdentityProvider } from '../../broker/upstream/identity_provider.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { makeKey, signJws, startUpstreamHost, type UpstreamHost } from './upstream_host.ts';

export type Claims = Record<string, unknown>;

/** Where the clock begins. */
export const T0 = seconds(1_800_000_000);
/** Short, so that tests of waiting are: what is shipped is tested once. */
export const SHORT: Waits = { connect: 200, total: 400 };
/** For what answers: a busy machine may take long over it. */
export const PATIENT: Waits = { connect: 10_000, total: 10_000 };
/** The key that the provider publishes at first. */
export const rsa = makeKey('RS256', 'rsa');

export interface UpstreamWorld {
  upstream: UpstreamHost;
  readonly idp: IdentityProvider;
  now: Seconds;
  /** JSON lines. */
  readonly logged: string[];
  /** Of the first connection: `SHORT` where the provider is to be given up. */
  waits: Waits;
  /** Another broker at the same provider. */
  connect(waits?: Waits, ca?: string): IdentityProvider;
  /** Claims of a login 10 s ago, changed. */
  claims(changes?: Claims): Claims;
  token(changes?: Claims, header?: Claims, key?: typeof rsa): string;
  verify(text: string): Promise<IdTokenClaims>;
  /** Asserts that a token is refused, with this code and in such words. */
  refused(code: Code, text: string, words?: RegExp): Promise<void>;
  stop(): Promise<void>;
}

export async function startUpstreamWorld(): Promise<UpstreamWorld> {
  const logged: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  const upstream = await startUpstreamHost();
  upstream.keys = [rsa.jwk];
  const connect = (waits = world.waits, ca?: string) => {
    const settings = {
      issuer: world.upstream.issuer,
      client_id: 'curfew',
      clock_skew: seconds(5),
      id_token_signing_algs: ['RS256', 'PS256', 'ES256'],
    };
    return createIdentityProvider({ settings, fetchJson: createFetchJson(ca, waits), now: () => world.now, log });
  };
  const state: { idp?: IdentityProvider } = {};
  const world: UpstreamWorld = {
    upstream,
    get idp() {
      state.idp ??= connect();
      return state.idp;
    },
    now: T0,
    waits: PATIENT,
    logged,
    connect,
    claims(changes = {}) {
      const times = { iat: T0 - 1, exp: T0 + 300, auth_time: T0 - 10 };
      return { iss: world.upstream.issuer, sub: 'alice', aud: 'curfew', ...times, nonce: 'n', ...changes };
    },
    token: (changes = {}, header = {}, key = rsa) => signJws(key, world.claims(changes), header),
    verify: (text) => world.idp.verifyIdToken(text, () => world.now),
    refused: (code, text, words = /./) =>
      assert.rejects(world.verify(text), (error) => {
        assert.ok(error instanceof CurfewError, String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, words);
        return true;
      }),
    async stop() {
      await state.idp?.close();
      await world.upstream.stop();
    },
  };
  return world;
}
