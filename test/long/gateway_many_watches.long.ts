// G6, long form: 10,000 watches through one gateway.

process.env.CURFEW_LONG = '1';
await import('../threats/gateway_many_watches.test.ts');
