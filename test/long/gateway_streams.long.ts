// G1, long form: every cause of an end, on both stores, with the gateway required and not, with kubectl 1.37 and 1.35.

process.env.CURFEW_LONG = '1';
await import('../e2e/gateway_streams.test.ts');
