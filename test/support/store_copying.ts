// Runs `store copy` in a process of its own, and dies by kill -9 at a step, or as rows of a table are on their way. Says at the end how
// much memory it took.

import { copyStore } from '../../broker/commands/store_copy.ts';
import { placesOf } from '../../broker/commands/store_copy_command.ts';
import { seconds } from '../../shared/time.ts';

const [config = '', dying = ''] = process.argv.slice(2);
const die = (at: string) => {
  if (at === dying) process.kill(process.pid, 'SIGKILL');
};
const copy = await placesOf({ config, from: 'sqlite', to: 'postgres' }, { env: process.env });
await copyStore(copy, {
  now: () => seconds(1_800_000_000),
  by: 'test',
  tell: { step: die, rows: (table) => die(`rows of ${table}`) },
});
process.stdout.write(`${process.resourceUsage().maxRSS}\n`);
