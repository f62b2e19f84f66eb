// PostgreSQL 16, 17 and 18: the suites of the store and the threats to it that need no standby, which Debian's programs cannot make of a
// later server.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { LATER_VERSIONS } from '../support/postgres_later.ts';

const FILES = [
  ...['long/postgres_store.long', 'broker/audit_lanes.test', 'broker/database_identity.test', 'broker/feed.test'],
  ...['broker/judged.test', 'broker/leases.test', 'broker/schemas.test', 'broker/store_copy.test'],
  ...['threats/database_put_back.test', 'threats/database_unwilling.test', 'threats/direct_renewals.test'],
  ...['threats/stopped_broker.test', 'threats/two_brokers.test'],
];

for (const version of LATER_VERSIONS)
  test(`the store and the threats to it on PostgreSQL ${version}`, async (context) => {
    const files = FILES.map((name) => path.join(import.meta.dirname, `../${name}.ts`));
    // Of its own, not a part of this one's run.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { code, stdout } = await run(process.execPath, ['--test', '--test-concurrency=2', ...files], {
      env: { ...env, CURFEW_TEST_POSTGRES: version },
      timeout: 900_000,
    });
    const passed = Number(/^ℹ pass (\d+)$/m.exec(stdout)?.[1] ?? /^# pass (\d+)$/m.exec(stdout)?.[1]);
    context.diagnostic(`${passed} passed`);
    assert.equal(code, 0, stdout.slice(-20_000));
    assert.ok(passed > 100, `only ${passed} ran`);
  });
