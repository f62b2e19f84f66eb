// I5, long form: 30 min at a gateway with 300 streams that come and go; `SOAK_SECONDS` makes it shorter.

process.env.CURFEW_LONG = '1';
await import('../threats/gateway_soak.test.ts');
