// Long form: 1 GiB each way through the gateway.

process.env.CURFEW_LONG = '1';
await import('../e2e/gateway_bytes.test.ts');
