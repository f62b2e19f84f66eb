// A process of its own around keytar: a keychain that hangs cannot be interrupted from within, so its process is killed.
// The request comes by stdin and the answer goes by stdout: secrets are in no argument and no environment.

import { readFileSync, writeSync } from 'node:fs';
import { isObject } from '../../shared/wire.ts';

/** When it ends itself, should the one who started it no longer be able to. */
const OWN_END_MS = 5_000;

async function answer(request: unknown): Promise<string | null> {
  if (!isObject(request)) throw new TypeError('no request');
  const { action, service, account, password } = request;
  if (typeof service !== 'string' || typeof account !== 'string') throw new TypeError('no name');
  const { default: keytar } = await import('keytar');
  if (action === 'erase') {
    await keytar.deletePassword(service, account);
    return null;
  }
  if (action === 'save' && typeof password === 'string') await keytar.setPassword(service, account, password);
  return await keytar.getPassword(service, account);
}

setTimeout(() => process.kill(process.pid, 'SIGKILL'), OWN_END_MS);
answer(JSON.parse(readFileSync(0, 'utf8'))).then(
  (value) => end({ value }),
  () => end({ fault: true }),
);

/** Ends at once: what the keychain's library still waits for is no longer of interest. */
function end(reply: object): void {
  writeSync(1, JSON.stringify(reply));
  process.kill(process.pid, 'SIGKILL');
}
