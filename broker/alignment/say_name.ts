// Names out of manifests are anybody's: each in one line, and none that looks like a secret.

import { looksSecret } from '../../shared/secret_words.ts';
import { oneLine } from '../text/one_line.ts';

/** 32 bytes in hex or base64, or longer: a key or a token that became part of a name. */
const KEY = /[0-9a-fA-F]{64}|[A-Za-z0-9+/_]{43}/;

/** A name, a host or a path out of a manifest. */
export function sayName(text: string): string {
  return looksSecret(text) || KEY.test(text) ? '(a name that looks like a secret)' : oneLine(text);
}
