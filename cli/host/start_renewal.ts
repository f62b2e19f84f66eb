// Starts the renewal of a token that was printed, where there is no native program: another Node.js, without a terminal, which
// nobody waits for.

import { spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { NO_LATER_THAN, type Renewal } from '../warm/renewal_due.ts';

/**
 * Of many calls within 10 s one starts it. Fails without a word: the next call may start it, and the one after the token's end
 * renews itself.
 *
 * @param at milliseconds since 1970
 */
export function startRenewal(
  { file, args }: Renewal,
  { argv, env, execPath }: Pick<NodeJS.Process, 'argv' | 'env' | 'execPath'>,
  at: number,
): void {
  const [, bundle] = argv;
  if (bundle === undefined || !claim(`${file}.${Math.floor(at / 1000 / NO_LATER_THAN)}`)) return;
  // Whoever wrote a kubeconfig also chose the environment: no more is run than this.
  const { NODE_OPTIONS: _, NODE_PATH: __, ...rest } = env;
  const child = spawn(execPath, [bundle, ...args], { cwd: '/', detached: true, stdio: 'ignore', env: rest });
  child.on('error', () => undefined);
  child.unref();
}

/** The program that renews takes away what earlier ones left. */
function claim(file: string): boolean {
  try {
    closeSync(openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600));
    return true;
  } catch {
    return false;
  }
}
