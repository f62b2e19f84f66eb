// What of a kubeconfig is not ours: read as values, before and after a change.

import { type Fields, parse, sorted } from './yaml.ts';

export type List = 'clusters' | 'users' | 'contexts';
export const LISTS: readonly List[] = ['clusters', 'users', 'contexts'];

/** All that is not ours, as values. */
function others(text: string, ours: ReadonlyMap<List, ReadonlySet<string>>): Fields | undefined {
  const [document] = parse(text);
  const value: unknown = document?.toJS() ?? undefined;
  const config = typeof value === 'object' && value !== null ? (value as Fields) : undefined;
  const written = config ?? { apiVersion: 'v1', kind: 'Config' };
  const lists = LISTS.map((list) => {
    const entries: unknown = written[list] ?? [];
    if (!Array.isArray(entries)) return [list, entries];
    return [list, entries.filter((entry) => !ours.get(list)?.has(String(entry?.name)))];
  });
  return { ...written, ...Object.fromEntries(lists) };
}

function withoutCurrent(config: Fields | undefined): unknown {
  return sorted({ ...config, 'current-context': undefined });
}

/**
 * Whether all that is not ours reads as before.
 *
 * @param wanted the current context, where there was none
 * @param unset whether the current context is one that goes
 */
export function othersAreKept(
  before: string,
  after: string,
  ours: ReadonlyMap<List, ReadonlySet<string>>,
  wanted: string | undefined,
  unset = false,
): boolean {
  const [was, is] = [others(before, ours), others(after, ours)];
  const current = (side: Fields | undefined) => side?.['current-context'] || undefined;
  const kept = unset ? undefined : (current(was) ?? wanted);
  return (
    is !== undefined &&
    JSON.stringify(withoutCurrent(was)) === JSON.stringify(withoutCurrent(is)) &&
    current(is) === kept
  );
}
