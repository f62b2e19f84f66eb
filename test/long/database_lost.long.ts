// R4, long form: 60 kills of the database server under load.

process.env.CURFEW_LONG = '1';
await import('../threats/database_lost.test.ts');
