// The arguments of get-token, as kubectl passes them on every call. Part of the warm path: loads nothing.

import { parseDuration } from '../../shared/duration.ts';
import type { Key } from './entry.ts';
import { brokerKey } from './paths.ts';

export interface GetTokenArguments {
  readonly key: Key;
  readonly ca_file?: string | undefined;
}

const FLAGS: readonly string[] = ['--broker', '--cluster', '--max-age', '--ca-file'];

/**
 * Parses `get-token --broker URL --cluster NAME [--max-age D] [--ca-file FILE]`, each as two words or with `=`.
 *
 * @returns `undefined` for anything else: the full program then says what is wrong.
 */
export function parseGetToken(words: readonly string[]): GetTokenArguments | undefined {
  if (words[0] !== 'get-token') return undefined;
  const flags = new Map<string, string>();
  for (let i = 1; i < words.length; i++) {
    const word = words[i] ?? '';
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? words[++i] : word.slice(equals + 1);
    if (!FLAGS.includes(name) || flags.has(name) || !value || value.startsWith('-')) return undefined;
    flags.set(name, value);
  }
  const [broker, cluster, age] = [flags.get('--broker'), flags.get('--cluster'), flags.get('--max-age')];
  const max_age = age === undefined ? undefined : parseDuration(age);
  if (!broker || !cluster || (age !== undefined && max_age === undefined)) return undefined;
  return { key: { broker: brokerKey(broker), cluster, max_age }, ca_file: flags.get('--ca-file') };
}
