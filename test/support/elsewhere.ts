// A browser that is not on the machine of the program: it is told an address by hand, and what it ends at is told back.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CookieJar } from 'tough-cookie';
import { type Mode, type Person, visit } from './browser_visit.ts';

/** The address at which the browser is left: nobody listens there, where the browser is. */
export async function addressLeftAt(start: string, person: Person, mode: Mode): Promise<string> {
  const seen = Promise.withResolvers<string>();
  const { fetch } = globalThis;
  globalThis.fetch = async (input, init) => {
    const url = new URL(String(input));
    if (url.pathname !== '/callback') return fetch(input, init);
    seen.resolve(url.href);
    throw new TypeError('connection refused');
  };
  try {
    await visit(new URL(start), person, mode, new CookieJar(), () => undefined).catch(() => undefined);
  } finally {
    globalThis.fetch = fetch;
  }
  return await seen.promise;
}

export interface Recorder {
  /** For `BROWSER`. */
  readonly command: string;
  /** The address that the command was given, once. */
  address(): Promise<URL>;
}

/** In place of a browser: writes the address down for whoever has one. */
export function makeRecorder(folder: string): Recorder {
  const [command, written] = [path.join(folder, 'recorder'), path.join(folder, 'address')];
  const script = `#!/bin/sh\nprintf %s "$1" > '${written}.new' && mv '${written}.new' '${written}'\n`;
  writeFileSync(command, script, { mode: 0o700 });
  return {
    command,
    async address() {
      while (!existsSync(written)) await sleep(20);
      const address = new URL(readFileSync(written, 'utf8'));
      rmSync(written);
      return address;
    },
  };
}
