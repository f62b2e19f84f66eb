// The walk over faults, long form: 20 min on each store, a new seed each time; `SOAK_SECONDS` makes it shorter, `SEED` repeats it.

process.env.CURFEW_LONG = '1';
await import('../threats/fault_walk.test.ts');
