// A desk where it is counted which calls of kubectl wait for more than files: whatever a call hands over to the full program does.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PROGRAMS } from '../native/launcher.ts';
import { until } from '../support/patience.ts';
import { credentialOf, type Desk, openDesk } from './desk.ts';

/** A desk, and which commands of the full program were begun: whatever the call itself hands over waits for that. */
export async function openCounted(policy: object, via: (typeof PROGRAMS)[number] = 'native') {
  const desk = await openDesk({ policy }, { via });
  const log = path.join(desk.dir, 'begun');
  writeFileSync(log, '');
  const env: Record<string, string> = {};
  if (via === 'native') {
    const full = `${desk.command[0]}.full`;
    const [node = '', ...rest] = readFileSync(full, 'utf8').split('\n');
    const counting = path.join(desk.dir, 'bin/node');
    writeFileSync(counting, `#!/bin/sh\necho "$2" >>'${log}'\nexec '${node}' "$@"\n`, { mode: 0o755 });
    writeFileSync(full, [counting, ...rest].join('\n'));
  } else {
    const hook = path.join(desk.dir, 'hook.cjs');
    const record = `process.on('exit', () => {
      if (Object.keys(require.cache).some((name) => name.endsWith('full.cjs')))
        require('node:fs').appendFileSync(${JSON.stringify(log)}, process.argv[2] + '\\n');
    });`;
    writeFileSync(hook, record);
    env.NODE_OPTIONS = `--require ${hook}`;
  }
  const begun = (command: string) =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line === command).length;
  return { desk, env, log, waited: () => begun('get-token'), begun };
}

/** Tokens that the broker gave. */
export function minted({ broker }: Pick<Desk, 'broker'>): number {
  return broker.audit().filter(({ event }) => event === 'mint').length;
}

export interface Calls {
  readonly calls: number;
  /** Different ones that were printed. */
  readonly tokens: number;
  /** Calls that were handed over to the full program, which asks the broker. */
  readonly waited: number;
  readonly mints: number;
}

/** Calls of kubectl in continuous use, five a second at most, with tokens that are served for 10 s. */
export async function callOften({
  calls: least,
  lives,
}: {
  readonly calls: number;
  readonly lives: number;
}): Promise<Calls> {
  const limits = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '20s' };
  const { desk, waited } = await openCounted({ limits, segments: [] });
  try {
    credentialOf(await desk.getToken('dev', true));
    const [asked, rows] = [waited(), minted(desk)];
    const tokens = new Set<string>();
    let calls = 0;
    for (; calls < least || tokens.size < lives; calls++) {
      tokens.add(credentialOf(await desk.getToken('dev', false)).token);
      await sleep(200);
    }
    const mints = () => minted(desk) - rows;
    await until(() => mints() >= tokens.size - 1, 'a token that nobody minted');
    return { calls, tokens: tokens.size, waited: waited() - asked, mints: mints() };
  } finally {
    await desk.stop();
  }
}
