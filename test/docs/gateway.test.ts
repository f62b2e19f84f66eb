// What docs/gateway.md says of ends, against what the tests of the gateway hold true: each cause with its words, each stream with its exit.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAUSES } from '../support/gateway_causes.ts';
import { KINDS } from '../support/open_streams.ts';
import { namesIn, read, rowsOf } from './documents.ts';

const TEXT = read('docs/gateway.md');

test('docs/gateway.md lists what ends a session, with the words that people read, and nothing else', () => {
  const rows = rowsOf(TEXT, 'what ends it', 'what people read, after `curfew: `');
  assert.deepEqual(
    rows.map(([when]) => when).sort(),
    Object.values(CAUSES)
      .map(({ when }) => when)
      .sort(),
  );
  for (const { when, words } of Object.values(CAUSES)) {
    const [, cell = ''] = rows.find(([first]) => first === when) ?? [];
    const [said = ''] = namesIn(cell);
    assert.ok(said.endsWith(words), `${when}: ${said}`);
  }
});

test('docs/gateway.md says with which status each kind of stream ends', () => {
  const rows = rowsOf(TEXT, 'stream', 'how', 'kubectl says', 'exit');
  const exits = rows.flatMap(([names = '', , , exit]) => names.split(', ').map((name) => [name, exit] as const));
  for (const [kind, { exit }] of Object.entries(KINDS)) {
    const found = exits.find(([name]) => kind.startsWith(name.replaceAll('`', '')));
    assert.ok(found, kind);
    // Without one it tries again until its own time is over, and fails then.
    assert.equal(found[1], String(exit ?? 1), kind);
  }
});
