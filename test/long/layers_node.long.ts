// On a node, in a network namespace of its own: `ss -K` cuts one connection and no other, and a short timeout of conntrack cuts nothing while
// nf_conntrack_tcp_loose is 1.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../scripts/run.ts';
import type { CuttersTale } from '../support/layers/cutters_main.ts';
import { ensureLayerParts } from '../support/layers/parts.ts';

test('ss -K cuts one connection; net.netfilter.nf_conntrack_tcp_timeout_established cuts none', async () => {
  const { nft, env } = await ensureLayerParts();
  const main = path.join(import.meta.dirname, '../support/layers/cutters_main.ts');
  const { code, stdout, stderr } = await run('unshare', ['-Urn', process.execPath, main, nft, '8080'], {
    env,
    timeout: 300_000,
  });
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout) as CuttersTale, {
    killed: true,
    other_killed: false,
    forgotten_cut: false,
    forgotten_answered: true,
  });
});
