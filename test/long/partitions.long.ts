// The walk through partitions, long form: 5 min on each store, a new seed each time; `SOAK_SECONDS` makes it longer, `SEED` repeats it.

process.env.CURFEW_LONG = '1';
await import('../threats/partitions.test.ts');
