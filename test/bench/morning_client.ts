// The office of the benchmark `morning`, a process beside it: as many plugins as there are people.

import { type Morning, spendMorning } from '../support/morning.ts';

process.on('message', async (message) => {
  try {
    process.send?.({ done: await spendMorning(message as Morning) });
  } catch (error) {
    process.send?.({ failed: error instanceof Error ? error.message : String(error) });
  }
});
process.once('disconnect', () => process.exit());
