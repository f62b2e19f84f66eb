// R1, long form: 1,000 ends at two and at three replicas, with notifications of the database and without.

process.env.CURFEW_LONG = '1';
await import('../threats/replica_ends.test.ts');
