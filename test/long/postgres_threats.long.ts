// The threats to sessions, with a store in PostgreSQL: the same tests as in `npm test`. Those of a store's files are SQLite's own, as are
// the sizes that `strangers` compares.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../scripts/run.ts';

const NAMES = [
  ...['administration', 'all_over', 'claims', 'clock', 'failed_logins', 'gateway_ends', 'gateway_events'],
  ...[
    'gateway_leases',
    'gateway_required',
    'gateway_secrets',
    'http',
    'identity_size',
    'idle_history',
    'idle_segments',
  ],
  ...['logout_tokens', 'renamed', 'requests', 'security_events', 'service_account_ends'],
  ...['service_account_names', 'sessions', 'signals_heard', 'third_parties', 'token_kinds', 'tokens', 'webhook'],
  '../broker/reload',
];

test('the threats to sessions are met on PostgreSQL too', async (context) => {
  const files = NAMES.map((name) => path.join(import.meta.dirname, `../threats/${name}.test.ts`));
  // Of its own, not a part of this one's run.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { code, stdout } = await run(process.execPath, ['--test', '--test-concurrency=4', ...files], {
    env: { ...env, CURFEW_TEST_STORE: 'postgres' },
    timeout: 900_000,
  });
  const passed = Number(/^ℹ pass (\d+)$/m.exec(stdout)?.[1] ?? /^# pass (\d+)$/m.exec(stdout)?.[1]);
  context.diagnostic(`${passed} passed`);
  assert.equal(code, 0, stdout.slice(-20_000));
  assert.ok(passed > 400, `only ${passed} ran`);
});
