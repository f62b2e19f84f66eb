// One signing key as the store has it: the private part sealed under the configured key, so that the store alone signs nothing.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import { type Encryption, keysNow } from '../encryption.ts';

/** RFC 7517, with the thumbprint of RFC 7638 as its id. */
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly alg: 'ES256';
  readonly use: 'sig';
}

export interface SealedKey {
  readonly kid: string;
  /** JSON of the public JWK. */
  readonly public_jwk: string;
  /** nonce (12) | tag (16) | ciphertext of the PKCS #8, AES-256-GCM, bound to the `kid`. */
  readonly sealed: Uint8Array;
}

export function makeSealedKey(encryption: Encryption): SealedKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv: 'P-256', kty: 'EC', x, y }))
    .digest('base64url');
  const jwk: PublicJwk = { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' };
  const sealed = sealKey(privateKey.export({ format: 'der', type: 'pkcs8' }), kid, encryption);
  return { kid, public_jwk: JSON.stringify(jwk), sealed };
}

/** @param plain its PKCS #8 */
export function sealKey(plain: Uint8Array, kid: string, encryption: Encryption): Uint8Array {
  return seal(plain, kid, keysNow(encryption)[0]);
}

function seal(plain: Uint8Array, kid: string, key: KeyObject): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(kid));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

type Sealed = Pick<SealedKey, 'sealed' | 'kid'>;

/** @throws CurfewError `configuration`, naming the key, where it was sealed under another encryption key than these */
export function unseal(row: Sealed, encryption: Encryption): KeyObject {
  return createPrivateKey({ key: opened(row, encryption).plain, format: 'der', type: 'pkcs8' });
}

/** Sealed by the first of these. @returns `undefined` where it is @throws CurfewError `configuration` likewise */
export function sealedAgain(row: Sealed, encryption: Encryption): Uint8Array | undefined {
  const [own] = keysNow(encryption);
  const { plain, by } = opened(row, encryption);
  return by === own ? undefined : seal(plain, row.kid, own);
}

function opened(row: Sealed, encryption: Encryption): { readonly plain: Buffer; readonly by: KeyObject } {
  let cause: unknown;
  for (const by of keysNow(encryption)) {
    try {
      return { plain: openedBy(row, by), by };
    } catch (error) {
      cause = error;
    }
  }
  throw new CurfewError(
    'configuration',
    `keys: the signing key ${row.kid} in the store was encrypted with another encryption key`,
    { cause, hint: 'give back the encryption key that this store was made with' },
  );
}

function openedBy({ sealed, kid }: Sealed, key: KeyObject): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 });
  decipher.setAAD(Buffer.from(kid)).setAuthTag(sealed.subarray(12, 28));
  return Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()]);
}
