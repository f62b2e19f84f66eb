// H1, long form: thousands of requests by chance at a gateway and at its broker, with a look at what is held afterwards.

process.env.CURFEW_LONG = '1';
await import('../threats/gateway_by_chance.test.ts');
