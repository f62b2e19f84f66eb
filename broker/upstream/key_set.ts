// The identity provider's public keys (JWKS, RFC 7517): which of them may verify a token, and whether one does.

import { compactVerify, importJWK, type JWK } from 'jose';
import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import type { FetchJson } from '../net/fetch_json.ts';

/** The public parts of keys that can sign, in the order of publication. */
export type KeySet = readonly PublicKey[];

export interface PublicKey {
  readonly kid?: string | undefined;
  readonly alg?: string | undefined;
  readonly jwk: JWK;
}

const MOST_KEYS = 100;

/** @throws CurfewError `identity_provider` */
export async function fetchKeySet(
  jwks_uri: string,
  fetchJson: FetchJson,
  signal?: AbortSignal,
  whose = 'identity provider',
): Promise<KeySet> {
  const { keys } = await fetchJson.get(jwks_uri, signal);
  const usable = Array.isArray(keys) ? keys.slice(0, MOST_KEYS).flatMap(publicKeyOf) : [];
  if (usable.length > 0) return Object.freeze(usable);
  const kinds = Array.isArray(keys) ? [...new Set(keys.slice(0, MOST_KEYS).flatMap(kindOf))] : [];
  const who = `${whose} ${new URL(jwks_uri).host}`;
  if (kinds.length === 0) {
    throw new CurfewError('identity_provider', `${who} publishes no key that can sign`, {
      hint: 'ask who runs it: its jwks_uri must have the public keys that it signs with',
    });
  }
  throw new CurfewError(
    'identity_provider',
    `${who} publishes keys of a kind that is not supported: ${kinds.join(', ')}`,
    {
      hint: 'let it sign for this client with RSA or ECDSA (RS256, PS256 or ES256, see identity_provider.id_token_signing_algs)',
    },
  );
}

/** Of a key to sign with, in RFC 7517's and 8037's words: `OKP Ed25519`. */
function kindOf(jwk: unknown): string[] {
  if (!isObject(jwk) || (jwk.use !== undefined && jwk.use !== 'sig')) return [];
  const words = [jwk.kty, jwk.crv, jwk.alg].filter((word) => typeof word === 'string' && /^[\w-]{1,20}$/.test(word));
  return words.length === 0 ? [] : [words.join(' ')];
}

/** Only what a public signing key consists of; all else, a private part or a symmetric key above all, is left behind. */
function publicKeyOf(jwk: unknown): PublicKey[] {
  if (!isObject(jwk)) return [];
  const { kid, alg, use, key_ops, kty } = jwk;
  if (use !== undefined && use !== 'sig') return [];
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes('verify'))) return [];
  const names = { kid: textOf(kid), alg: textOf(alg) };
  if (kty === 'RSA') {
    const [n, e] = [textOf(jwk.n), textOf(jwk.e)];
    return n === undefined || e === undefined ? [] : [{ ...names, jwk: { kty, n, e } }];
  }
  if (kty === 'EC') {
    const [crv, x, y] = [textOf(jwk.crv), textOf(jwk.x), textOf(jwk.y)];
    return crv === undefined || x === undefined || y === undefined ? [] : [{ ...names, jwk: { kty, crv, x, y } }];
  }
  return [];
}

/** RFC 7518 3.4: each ECDSA algorithm has one curve. */
const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** The keys that may have signed with this header. Without a `kid` each of the right kind may. */
export function candidates(keys: KeySet, header: { readonly alg: string; readonly kid?: string | undefined }): KeySet {
  return keys.filter(({ kid, alg, jwk }) => {
    if (header.kid !== undefined && kid !== header.kid) return false;
    if (alg !== undefined && alg !== header.alg) return false;
    const curve = CURVES[header.alg];
    return curve === undefined ? jwk.kty === 'RSA' : jwk.kty === 'EC' && jwk.crv === curve;
  });
}

/** Whether one of the keys made the signature. RSA keys below 2048 bits never count (jose refuses them, RFC 7518 3.3). */
export async function verifiedByOne(token: string, alg: string, keys: KeySet): Promise<boolean> {
  for (const { jwk } of keys) {
    try {
      await compactVerify(token, await importOnce(jwk, alg), { algorithms: [alg] });
      return true;
    } catch {
      // the next key may fit; a key that cannot be imported fits nothing
    }
  }
  return false;
}

const imported = new WeakMap<JWK, Map<string, ReturnType<typeof importJWK>>>();

/** Importing a key costs more than verifying with it. */
function importOnce(jwk: JWK, alg: string): ReturnType<typeof importJWK> {
  const by_alg = imported.get(jwk) ?? new Map<string, ReturnType<typeof importJWK>>();
  imported.set(jwk, by_alg);
  const key = by_alg.get(alg) ?? importJWK(jwk, alg);
  by_alg.set(alg, key);
  return key;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
