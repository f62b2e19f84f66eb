// The public keys of a cluster's own tokens, as its API server gives them. The file is read again whenever it is written: clusters change
// their keys.

import { createPublicKey, type KeyObject } from 'node:crypto';
import type { BaseLogger } from 'pino';
import { readRegularFile } from '../../serving/files/regular_file.ts';
import { watchFiles } from '../../serving/files/watch.ts';
import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';

export interface ServiceAccountKey {
  /** Absent where the cluster names none: then it may have signed any token. */
  readonly kid: string | undefined;
  readonly key: KeyObject;
}

export interface ServiceAccountKeys {
  /** Where they are from. */
  readonly file: string;
  readonly text: string;
  readonly keys: readonly ServiceAccountKey[];
}

/** @param text a JWKS (RFC 7517 5) @returns those that can be used: none where it is not a JWKS */
export function parseKeys(text: string): readonly ServiceAccountKey[] {
  const set = parseJson(text);
  return isObject(set) && Array.isArray(set.keys) ? set.keys.flatMap(importKey) : [];
}

/** Members of private keys must not be there. */
function importKey(jwk: unknown): readonly ServiceAccountKey[] {
  if (!isObject(jwk) || (jwk.kty !== 'RSA' && jwk.kty !== 'EC') || jwk.d !== undefined) return [];
  try {
    const kid = typeof jwk.kid === 'string' ? jwk.kid : undefined;
    return [{ kid, key: createPublicKey({ key: jwk, format: 'jwk' }) }];
  } catch {
    return [];
  }
}

/**
 * @param taken is called with those that are there instead from then on
 * @returns a function that stops it
 */
export function watchKeys(
  { file, text: first }: ServiceAccountKeys,
  taken: (keys: readonly ServiceAccountKey[]) => void,
  log: Pick<BaseLogger, 'info' | 'warn' | 'error'>,
): () => void {
  let [used, refused] = [first, first];
  const reload = async () => {
    const text = await readRegularFile(file).then(
      (found) => found.text,
      () => '',
    );
    if (text === used || text === refused) return;
    const keys = parseKeys(text);
    if (keys.length === 0) {
      refused = text;
      log.error({ file }, 'keys of ServiceAccounts not reloaded, the old ones stay');
      return;
    }
    [used, refused] = [text, text];
    taken(keys);
    log.info({ file, count: keys.length }, 'keys of ServiceAccounts reloaded');
  };
  return watchFiles([file], reload, { log });
}
