// How long tests wait: for what comes, until it is there; and how much later than a deadline of ours a busy machine may see it kept.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds after which what did not come never will. */
export const PATIENCE_MS = 90_000;

/** Far less than no deadline at all would take: a peer that hangs in a test does so for a minute, or for good. */
const SLACK_MS = 30_000;

/** Waits until it holds. @param otherwise why it fails when it never does */
export async function until(holds: () => boolean | Promise<boolean>, otherwise: string): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds()); await sleep(20)) {
    assert.ok(performance.now() < end, otherwise);
  }
}

/**
 * Deadlines are tested, speed is not.
 * @param ms how long it took
 * @param deadline_ms after which the program gives up
 * @param what took so long
 */
export function assertKept(ms: number, deadline_ms: number, what = 'it'): void {
  assert.ok(ms < deadline_ms + SLACK_MS, `${what} took ${Math.round(ms)} ms, with a deadline of ${deadline_ms} ms`);
}

/** Until the clock shows another second: what happened in one second cannot be told apart by `auth_time` and `iat`. */
export async function nextSecond(): Promise<void> {
  const end = (Math.floor(Date.now() / 1000) + 1) * 1000;
  while (Date.now() < end) await sleep(end - Date.now());
}
