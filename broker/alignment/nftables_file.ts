// A ruleset of nftables: the sets that hold an age (`add`) and an idle time (`update`), told apart by the rule that fills them.

import type { WholeLimits } from '../../shared/limits.ts';
import { timingOf } from '../layers_table/table.ts';
import type { RawFile } from '../manifests/raw.ts';
import type { Report, Subject } from './finding.ts';
import { effectOf, faultOf } from './lengths.ts';

type NftFile = Extract<RawFile, { readonly is: 'nftables' }>;

export function judgeNftables({ lines }: NftFile, subject: Subject, limits: WholeLimits, report: Report): void {
  const sets = new Map<string, { readonly line: number; timeout?: string; at?: number }>();
  let open: string | undefined;
  for (const { words, line } of lines) {
    const [first, name = ''] = words;
    if (first === 'set' || first === 'map') {
      open = name;
      sets.set(name, { line });
    }
    const timeout = words.indexOf('timeout');
    const set = open === undefined ? undefined : sets.get(open);
    if (set && timeout !== -1 && !words.includes('@')) {
      const value = words[timeout + 1];
      if (value !== undefined) Object.assign(set, { timeout: value, at: line });
    }
    if (words.includes('}')) open = undefined;
  }
  for (const { words } of lines)
    for (const [verb, name] of [
      ['update', 'set idle timeout'],
      ['add', 'set age timeout'],
    ] as const) {
      const at = words.findIndex((word, i) => word === verb && words[i + 1]?.startsWith('@'));
      if (at === -1) continue;
      const named = words[at + 1]?.slice(1) ?? '';
      const set = sets.get(named);
      if (!set) continue;
      const row = timingOf('nftables', name);
      // A timeout in the rule comes before that of the set.
      const own = words.indexOf('timeout', at);
      const effect = effectOf(row, own === -1 ? set.timeout : words[own + 1]);
      const fault = faultOf(row, effect, limits, `timeout of set ${named}`);
      if (fault) report(fault.name, subject, [set.at ?? set.line], fault.detail);
      if (effect.is === 'unbounded' && verb === 'add')
        report('no_age_bound', subject, [set.line], `set ${named} has no timeout`);
    }
}
