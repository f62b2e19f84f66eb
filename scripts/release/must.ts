// Commands without which there is no release: each succeeds or all of it fails.

import { type RunOptions, run } from '../run.ts';

/** @returns what it wrote to stdout. @throws Error with the end of its own words where it fails */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, signal, stdout, stderr } = await run(command, args, { timeout: 600_000, ...options });
  if (code === 0) return stdout;
  throw new Error(`${command} ${args[0] ?? ''} failed (${signal ?? code}): ${stderr.trim().slice(-1_000)}`);
}
