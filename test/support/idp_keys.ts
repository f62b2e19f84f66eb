// The test IdP's signing keys: what signs now, what its JWKS shows, and signing of anything at all, however wrong.
import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { promisify } from 'node:util';

export type SigningAlgorithm = 'RS256' | 'PS256' | 'ES256';
export type Json = Readonly<Record<string, unknown>>;

export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly privateKey: KeyObject;
}

const generate = promisify(generateKeyPair);

export async function createSigningKey(alg: SigningAlgorithm): Promise<SigningKey> {
  const { privateKey } =
    alg === 'ES256' ? await generate('ec', { namedCurve: 'P-256' }) : await generate('rsa', { modulusLength: 2048 });
  return { kid: randomBytes(9).toString('base64url'), alg, privateKey };
}

function signature(alg: unknown, key: SigningKey, input: string): Buffer {
  const data = Buffer.from(input);
  if (alg === 'none') return Buffer.alloc(0);
  if (alg === 'HS256') {
    // the classic confusion: the public key, which everybody has, taken as the secret
    const pem = createPublicKey(key.privateKey).export({ type: 'spki', format: 'pem' });
    return createHmac('sha256', pem).update(data).digest();
  }
  if (key.privateKey.asymmetricKeyType === 'ec') {
    return sign('sha256', data, { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  }
  const padding =
    alg === 'PS256'
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : { padding: constants.RSA_PKCS1_PADDING };
  return sign('sha256', data, { key: key.privateKey, ...padding });
}

/**
 * Signs a compact JWS by `key`. A payload given as text goes in as it is (so that `1e400` can stay what it says).
 * @param header overrides; an `alg` of `none` leaves the signature empty, `HS256` signs with the public key's PEM
 */
export function signJws(key: SigningKey, payload: Json | string, header: Json = {}): string {
  const fullHeader = { alg: key.alg, typ: 'JWT', kid: key.kid, ...header };
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const input = [JSON.stringify(fullHeader), text].map((part) => Buffer.from(part).toString('base64url')).join('.');
  return `${input}.${signature(fullHeader.alg, key, input).toString('base64url')}`;
}

/** The claims of a JWT, unverified. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
}

export function publicJwks(keys: readonly SigningKey[]): { readonly keys: readonly Json[] } {
  return {
    keys: keys.map(({ privateKey, kid, alg }) => ({
      ...createPublicKey(privateKey).export({ format: 'jwk' }),
      kid,
      alg,
      use: 'sig',
    })),
  };
}

/** The keys of one IdP: the first published one signs. `stranger` is a key that its JWKS never shows. */
export interface KeyRing {
  published: readonly SigningKey[];
  readonly stranger: SigningKey;
  signing(): SigningKey;
  /** A new key signs from now on; the old ones stay in the JWKS with `keep_old`. */
  rotate(options?: { readonly keep_old?: boolean }): Promise<void>;
}

export async function createKeyRing(alg: SigningAlgorithm): Promise<KeyRing> {
  const [own, stranger] = await Promise.all([createSigningKey(alg), createSigningKey(alg)]);
  const ring: KeyRing = {
    published: [own],
    stranger,
    signing: () => ring.published[0] ?? own,
    async rotate({ keep_old = true } = {}) {
      const fresh = await createSigningKey(alg);
      ring.published = keep_old ? [fresh, ...ring.published] : [fresh];
    },
  };
  return ring;
}
