// Runs `store copy` in a process of its own, and says how far it is, a line for each step and each piece of a table. Dies by kill -9 at one
// of them. Says last how much memory it took, and, with --expose-gc, how much it held at most once garbage was collected.

import { writeSync } from 'node:fs';
import { copyStore } from '../../broker/commands/store_copy.ts';
import { placesOf } from '../../broker/commands/store_copy_command.ts';
import { seconds } from '../../shared/time.ts';

/** A collection takes longer than a piece. */
const PIECES = 20;
const [config = '', dying = ''] = process.argv.slice(2);
const at = (what: string) => {
  if (what === dying) process.kill(process.pid, 'SIGKILL');
  // At once, whatever comes next.
  writeSync(1, `${what}\n`);
};
let [held, pieces] = [0, 0];
const collect = () => {
  if (globalThis.gc === undefined) return;
  // What buffers hold goes with the second.
  for (let n = 0; n < 2; n++) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  held = Math.max(held, heapUsed + external);
};
const copy = await placesOf({ config, from: 'sqlite', to: 'postgres' }, { env: process.env });
at('begin');
await copyStore(copy, {
  now: () => seconds(1_800_000_000),
  by: 'test',
  tell: {
    step(step) {
      at(step);
      collect();
    },
    rows(table) {
      at(`rows of ${table}`);
      if (pieces++ % PIECES === 0) collect();
    },
  },
});
writeSync(1, `memory: ${process.resourceUsage().maxRSS * 1024} ${held}\n`);
