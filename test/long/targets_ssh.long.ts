// K8, long form: each cause of an end on each store, 1 GiB by scp, and 100 ends while twenty others are busy.

process.env.CURFEW_LONG = '1';
await import('../e2e/ssh.test.ts');
await import('../e2e/ssh_many_ends.test.ts');
