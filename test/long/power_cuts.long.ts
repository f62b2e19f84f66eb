// F1, long form: 100 power cuts under load, on each database.

process.env.CURFEW_LONG = '1';
await import('../threats/power_cuts.test.ts');
