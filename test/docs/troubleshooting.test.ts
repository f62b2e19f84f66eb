// docs/troubleshooting.md against the programs: whatever it says that one sees stands in their source, word for word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'acorn';
import { transform } from 'esbuild';
import { namesIn, read } from './documents.ts';
import { filesOf } from './sources.ts';

/** What stands for any text within a template. */
const ANY = '\u0000';

/** All texts of the programs; what a template puts in is `ANY`. */
async function texts(): Promise<readonly string[]> {
  const found: string[] = [];
  for (const file of filesOf('cli', 'broker', 'gateway', 'serving', 'shared')) {
    if (!file.endsWith('.ts')) continue;
    const { code } = await transform(read(file), { loader: 'ts', target: 'esnext' });
    walk(parse(code, { ecmaVersion: 'latest', sourceType: 'module' }), found);
  }
  return found;
}

function walk(node: unknown, found: string[]): void {
  if (Array.isArray(node)) {
    for (const one of node) walk(one, found);
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  const { type, value, quasis } = node as { type?: string; value?: unknown; quasis?: { value: { cooked: string } }[] };
  if (type === 'Literal' && typeof value === 'string') found.push(value);
  if (type === 'TemplateLiteral') found.push((quasis ?? []).map((part) => part.value.cooked).join(ANY));
  for (const inner of Object.values(node)) walk(inner, found);
}

/** The first cells of all tables that begin with what one sees. */
function shown(): readonly string[] {
  const lines = read('docs/troubleshooting.md').split('\n');
  const rows = lines.filter((line) => line.startsWith('| `'));
  return rows.flatMap((row) => namesIn(row.split(' | ')[0] ?? '').slice(0, 1));
}

/** The words of a message, without what differs and without what one program puts before another's. */
function fragments(message: string): readonly string[] {
  return message.split('...').flatMap((part) => {
    const words = part.replace(/^[\s:(),;]+|[\s:(),;]+$/g, '');
    return words === '' ? [] : [words];
  });
}

test('each message that the page shows is one of the programs', async () => {
  const all = await texts();
  assert.ok(all.length > 2000, `${all.length}`);
  const messages = shown();
  assert.ok(messages.length > 45, `${messages.length}`);
  const missing = messages.flatMap((message) =>
    fragments(message).filter((words) => !all.some((text) => text.includes(words))),
  );
  assert.deepEqual(missing, []);
});

test('a word that no program says is found out', async () => {
  const all = await texts();
  for (const words of ['login is too young', 'the broker at nowhere is out of reach'])
    assert.ok(!all.some((text) => text.includes(words)));
});
