// What the small native program runs: the warm path, on an engine that has neither Node.js nor the web's APIs. Whatever
// that misses throws, and is the full program's.

import { type Answer, answer } from '../warm/answer.ts';
import type { Machine } from '../warm/machine.ts';

declare global {
  /** Called once by shell.c. */
  var answerFor: (machine: Machine) => Answer | undefined;
}

globalThis.answerFor = answer;
