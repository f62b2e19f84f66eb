// The id of a Kubernetes token (its `jti`): says by itself that the broker made it, for which session and cluster, and until
// when. kube-apiserver passes it on with each request, so the webhook knows a request of the session's own token from a
// question that somebody asks about the session. Nothing is looked up: every replica can tell.

import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { memo } from '../../shared/memo.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { derivedKeys, type Encryption, isMadeBy } from '../encryption.ts';
import { randomId } from './random.ts';

/** Whose token an id is for. */
export interface TokenOf {
  readonly sid: string;
  /** Of the cluster. */
  readonly audience: string;
}

export interface TokenIds {
  /** An id that no other token has. @param exp of the token */
  make(of: TokenOf, exp: Seconds): string;
  /**
   * @param id as it came, from anybody
   * @returns the `exp` of the token that it was made for, or `undefined` for what we did not make for this session and cluster
   */
  expOf(id: string, of: TokenOf): Seconds | undefined;
}

/** 128 random bits, `exp` in decimal, the MAC: `RANDOM.EXP.MAC`. */
const TOKEN_ID = /^([A-Za-z0-9_-]{22})\.([0-9]{1,11})\.([A-Za-z0-9_-]{43})$/;
/** Characters of the id of a token with this `exp`. */
export function tokenIdLength(exp: Seconds): number {
  return 22 + 1 + String(exp).length + 1 + 43;
}

/** Ids that are remembered at a time. */
const MOST_KNOWN = 10_000;

/** HKDF's `info` (RFC 5869 3.2): no other use of the encryption key has this one. */
const PURPOSE = 'curfew kubernetes token id v1';

/** @param encryption the first of these makes ids; those of the others are known as well */
export function createTokenIds(encryption: Encryption): TokenIds {
  const keys = derivedKeys(encryption, keyOf);
  // A token comes with each of its requests: what was found to be ours is not computed again.
  const expOf = memo(
    MOST_KNOWN,
    ({ id, of }: { readonly id: string; readonly of: TokenOf }): Seconds | undefined => {
      const [, random = '', digits = '', text = ''] = TOKEN_ID.exec(id) ?? [];
      const [exp, mac] = [Number(digits), Buffer.from(text, 'base64url')];
      // One spelling for each id: `01` is not 1, and the last character of the MAC has bits to spare.
      if (!isSeconds(exp) || String(exp) !== digits || mac.toString('base64url') !== text) return undefined;
      return isMadeBy(keys(), mac, (key) => macOf(key, of, random, exp)) ? exp : undefined;
    },
    // As JSON the parts cannot run into one another.
    { keyOf: ({ id, of: { sid, audience } }) => JSON.stringify([id, sid, audience]) },
  );
  return {
    make(of, exp) {
      const random = randomId();
      return `${random}.${exp}.${macOf(keys()[0], of, random, exp).toString('base64url')}`;
    },
    expOf: (id, of) => expOf({ id, of }),
  };
}

/** As an object: made of bytes again it would cost more than the MAC. */
function keyOf(encryptionKey: KeyObject): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', encryptionKey, '', PURPOSE, 32)));
}

/** As JSON the parts cannot run into one another, whatever an audience has in it. */
function macOf(key: KeyObject, { sid, audience }: TokenOf, random: string, exp: Seconds): Buffer {
  return createHmac('sha256', key)
    .update(JSON.stringify([sid, audience, random, exp]))
    .digest();
}
