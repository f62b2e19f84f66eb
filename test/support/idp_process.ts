// Starts the test IdP as a process of its own, for the demo, and ends it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { IdpOptions } from './idp.ts';

export interface IdpProcess {
  readonly issuer: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const main = fileURLToPath(new URL('idp_main.ts', import.meta.url));

/** Starts it with its options in a 0600 file in `dir`; rejects if it is not ready within 30 s. */
export async function startIdpProcess(dir: string, options: IdpOptions): Promise<IdpProcess> {
  const file = join(dir, 'idp.json');
  await writeFile(file, JSON.stringify(options), { mode: 0o600 });
  const child = spawn(process.execPath, [main, file], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined);
  const exited = once(child, 'exit');
  const failed = exited.then(() => Promise.reject(new Error('the IdP ended before it was ready')));
  failed.catch(() => undefined);
  try {
    const ready = once(createInterface({ input: child.stdout }), 'line', { signal: AbortSignal.timeout(30_000) });
    const [line] = (await Promise.race([ready, failed])) as [string];
    const { issuer, pid } = JSON.parse(line) as { issuer: string; pid: number };
    return {
      issuer,
      pid,
      async stop() {
        child.kill('SIGTERM');
        await exited;
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}
