// P7, long form: 500 plugins that are killed while they write their cache.

process.env.CURFEW_LONG = '1';
await import('../cli/cache.test.ts');
