// G1, long form: 100 ends with ten streams each, at a gateway under load.

process.env.CURFEW_LONG = '1';
await import('../threats/gateway_many_ends.test.ts');
