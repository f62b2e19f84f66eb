// F1, long form: 1,000 kills of brokers under load, on each database.

process.env.CURFEW_LONG = '1';
await import('../threats/kills.test.ts');
