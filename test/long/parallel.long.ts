// P1 to P3, long form: 50 kubectls at once and 500 refused calls, through the native program and through Node.js.

process.env.CURFEW_LONG = '1';
await import('../e2e/parallel.test.ts');
