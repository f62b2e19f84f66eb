// Takes entries of ours out of a kubeconfig; all else stays, to the byte. Pure: text in, text out.

import { isMap, isScalar, isSeq } from 'yaml';
import { isObject } from '../../shared/wire.ts';
import { callOf } from './entries.ts';
import { type Splice, spliced } from './lines.ts';
import { removeItems } from './list_splices.ts';
import { LISTS, type List, othersAreKept } from './others.ts';
import type { KubeconfigText } from './text.ts';
import { afterKey, fieldOf, isNode, nameOf, parse, rangeOf, TextFault } from './yaml.ts';

export interface Found {
  readonly names: ReadonlyMap<List, ReadonlySet<string>>;
  /** What of ours stays because others use it, and why: whole sentences. */
  readonly stays: readonly string[];
}

type Entries = Pick<KubeconfigText, 'entries'>;

/**
 * Which entries `setup` wrote for a broker: a user of ours, and the context and cluster of its name where these are its own.
 *
 * @param elsewhere the other files that kubectl reads: their contexts may use what is here
 */
export function entriesOf(config: Entries, elsewhere: readonly Entries[], broker: string): Found {
  const [clusters, users, contexts] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const stays: string[] = [];
  const contextsOf = (one: Entries) =>
    one.entries('contexts').map((entry) => ({ name: entry.name, context: fieldsOf(entry.context) }));
  const all = contextsOf(config);
  const strangers = elsewhere.flatMap(contextsOf);
  for (const entry of config.entries('users')) {
    const name = String(entry.name);
    if (callOf(fieldsOf(entry.user))?.broker !== broker) continue;
    const own = all.find((one) => one.name === name && one.context.user === name && one.context.cluster === name);
    if (!own) {
      stays.push(`the user ${name} calls this plugin too, in a context that setup did not write`);
      continue;
    }
    users.add(name);
    contexts.add(name);
    const others = [...all.filter((one) => one !== own), ...strangers];
    for (const one of others.filter(({ context }) => context.user === name))
      stays.push(`the context ${String(one.name)} names the user ${name}, which is gone`);
    const using = others.filter(({ context }) => context.cluster === name);
    if (using.length === 0) clusters.add(name);
    else stays.push(`the cluster ${name} is used by the context ${using.map((one) => String(one.name)).join(', ')}`);
  }
  return {
    names: new Map([
      ['clusters', clusters],
      ['users', users],
      ['contexts', contexts],
    ] as const),
    stays,
  };
}

/**
 * @param names by list, from `entriesOf`
 * @throws TextFault where others are written by what would go
 */
export function removeEntries(text: string, names: Found['names']): string {
  const [document] = parse(text);
  const root = document?.contents;
  if (!isMap(root)) return text;
  const splices = LISTS.flatMap((list): Splice[] => {
    const value = fieldOf(root, list);
    if (!isSeq(value)) return [];
    const gone = value.items.filter((item) => isMap(item) && names.get(list)?.has(nameOf(item) ?? ''));
    return removeItems(text, value, afterKey(text, root, list), gone);
  });
  const current = fieldOf(root, 'current-context');
  const leads = isScalar(current) && names.get('contexts')?.has(String(current.value)) === true;
  if (leads && isNode(current)) {
    const [start, end] = rangeOf(current);
    splices.push({ start, end, text: '""' });
  }
  if (splices.length === 0) return text;
  const after = spliced(text, splices);
  if (!othersAreKept(text, after, names, undefined, leads))
    throw new TextFault(' is written in a way that cannot be changed safely');
  return after;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}
