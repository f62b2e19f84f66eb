// The corpus of manifests and files of proxies, each of which says in its first lines what is to be found in it.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { audit } from '../../broker/alignment/audit.ts';
import type { Finding } from '../../broker/alignment/finding.ts';
import type { Scope } from '../../broker/alignment/scope.ts';
import { makeCollector } from '../../broker/manifests/collect.ts';
import { seconds } from '../../shared/time.ts';

export const FOLDER = path.join(import.meta.dirname, 'manifests');
export const MANIFESTS = readdirSync(FOLDER).toSorted();
export const ISSUER = 'https://curfew.example.com';

export const WHOLE = { max_age: seconds(28_800), inactivity_timeout: seconds(900), token_ttl: seconds(300) };

/** Eight hours, fifteen minutes, five minutes, wherever it is. */
export const SCOPE: Scope = {
  said: 'cluster prod',
  limitsIn: () => WHOLE,
  hashesIn: () => new Set(),
};

export function textOf(name: string): string {
  return readFileSync(path.join(FOLDER, name), 'utf8');
}

export function promised(text: string): readonly string[] {
  const [, list = ''] = /(?:^# finds:|"finds":) "?([a-z_ ]+)/m.exec(text) ?? [];
  assert.notEqual(list, '', 'it says what is to be found');
  assert.match(text, /In the shape of \S/);
  return list.trim() === 'nothing' ? [] : list.trim().split(' ').toSorted();
}

export function auditTexts(texts: Readonly<Record<string, string>>, scope = SCOPE): readonly Finding[] {
  const collector = makeCollector();
  for (const [file, text] of Object.entries(texts)) collector.add({ file, text });
  return audit(collector.all, scope, ISSUER).findings;
}
