// Calls of kubectl in continuous use that had to wait for the broker, as their token was over: none, as it is renewed before.

import { callOften } from '../cli/counted_desk.ts';
import type { Bench } from './figure.ts';

export const renewBackground: Bench = {
  figures: [
    {
      name: 'renew.background.calls_that_waited',
      unit: 'calls',
      aim: { at_most: 0 },
      says: 'of 200 calls of get-token over ten lives of a token (native), those that the full program had to answer',
    },
  ],
  async run({ quick, log }) {
    const done = await callOften(quick ? { calls: 3, lives: 1 } : { calls: 200, lives: 10 });
    log(`${done.calls} calls, ${done.tokens} tokens, ${done.mints} mints`);
    return { 'renew.background.calls_that_waited': done.waited };
  },
};
