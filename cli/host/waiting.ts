// One calm line while a person is waited for: what for, and how long still. Only where it can be taken away again.

import { countdown } from './countdown.ts';
import type { Host } from './host.ts';

/** Time between two frames. */
const STEP_MS = 120;
const FRAMES = { unicode: '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏', ascii: '|/-\\' } as const;

/** @param deadline milliseconds, for the words only: `work` ends itself */
export async function whileWaiting<T>(
  host: Pick<Host, 'env' | 'platform' | 'size' | 'status' | 'stopwatch'>,
  what: string,
  deadline: number,
  work: Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  if (!host.size()) return await unlessAborted(work, signal);
  const frames = [...FRAMES[isUnicode(host) ? 'unicode' : 'ascii']];
  const left = countdown(deadline, host);
  let step = 0;
  const draw = () => {
    const frame = frames[step++ % frames.length];
    host.status(`${frame} waiting for ${what}, ${sayLeft(left())} left`);
  };
  draw();
  const timer = setInterval(draw, STEP_MS);
  try {
    return await unlessAborted(work, signal);
  } finally {
    clearInterval(timer);
    host.status(undefined);
  }
}

/** `work`, or the reason of `signal` as soon as it aborts. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Whether the terminal shows more than ASCII, as far as the environment says. */
export function isUnicode({ env, platform }: Pick<Host, 'env' | 'platform'>): boolean {
  return platform !== 'linux' || /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

/** `2m 41s`, `9s`: rounded up, so that it does not stay at zero. */
function sayLeft(milliseconds: number): string {
  const whole = Math.max(0, Math.ceil(milliseconds / 1000));
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return minutes === 0 ? `${rest}s` : `${minutes}m ${rest}s`;
}
