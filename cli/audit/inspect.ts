// One kubeconfig, judged: all that is in its text.

import { judgeCluster } from './clusters.ts';
import { type Part, readParts } from './document.ts';
import type { Found, Seen } from './finding.ts';
import { readPlain } from './plain.ts';
import { commentFindings, strayFindings } from './strays.ts';
import { judgeUser } from './users.ts';
import type { World } from './world.ts';

export interface Inspected {
  readonly found: readonly Found[];
  readonly seen: readonly Seen[];
  readonly named: readonly { readonly path: string; readonly line: number }[];
  readonly parts: readonly Part[];
}

/** @param quickly whether a file of the usual kind is read by the quick reader */
export function inspectText(file: string, text: string, world: World, quickly = true): Inspected {
  const plain = quickly ? readPlain(text) : undefined;
  const parts = plain ? [plain] : readParts(text);
  if (!Array.isArray(parts)) {
    const { fault: detail, line } = parts as Exclude<typeof parts, readonly Part[]>;
    return { found: [{ name: 'unreadable', line, detail }, ...commentFindings(text)], seen: [], named: [], parts: [] };
  }
  const seen: Seen[] = [];
  const named: { path: string; line: number }[] = [];
  const found: Found[] = [];
  for (const [i, part] of (parts as readonly Part[]).entries()) {
    const contexts = contextsByUser(part);
    for (const entry of part.entries) {
      if (entry.list === 'clusters') found.push(...judgeCluster(entry));
      if (entry.list !== 'users') continue;
      const judged = judgeUser(file, entry, contexts.get(entry.name) ?? [], world);
      found.push(...judged.found.map((one) => ({ ...one, part: i })));
      seen.push(...judged.seen);
      named.push(...judged.named);
    }
    found.push(...strayFindings(part, seen));
  }
  found.push(...commentFindings(text));
  return { found: found.toSorted((a, b) => a.line - b.line), seen, named, parts };
}

function contextsByUser({ entries }: Part): ReadonlyMap<string, readonly string[]> {
  const all = new Map<string, string[]>();
  for (const { list, name, fields } of entries) {
    if (list !== 'contexts') continue;
    const user = String(fields.user ?? '');
    all.set(user, [...(all.get(user) ?? []), name]);
  }
  return all;
}
