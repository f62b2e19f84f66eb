// 50 calls at once: with a cached token, and cold at a terminal, where all wait for one login.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CookieJar } from 'tough-cookie';
import { visit } from '../support/browser_visit.ts';
import { makeRecorder } from '../support/elsewhere.ts';
import type { Bench } from './figure.ts';
import { crowdVsStatic } from './kubectl.ts';
import { inPluginWorld, type PluginWorld } from './plugin_world.ts';
import { median } from './statistics.ts';

const CALLS = 50;
const ROUNDS = 5;

export const parallel: Bench = {
  figures: [
    {
      name: 'parallel50.warm_vs_static',
      unit: 'ratio',
      says: '50 `kubectl get namespaces` at once through the native plugin with a cached token, against 50 with that token in kubeconfig',
    },
    {
      name: 'parallel50.cold_tail_ms',
      unit: 'ms',
      aim: { at_most: 1_000 },
      says: '50 cold calls at once at a terminal: from the end of the one login to the last credential',
    },
  ],
  run: (settings) =>
    inPluginWorld(settings, async (plugin) => {
      const { quick, log } = settings;
      const warm = await crowdVsStatic(plugin, settings);
      const tails: number[] = [];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) tails.push(await coldTail(plugin));
      log(
        `from the end of the login to the last of ${CALLS} credentials: ${tails.map((ms) => Math.round(ms)).join(', ')} ms`,
      );
      return { 'parallel50.warm_vs_static': warm, 'parallel50.cold_tail_ms': median(tails) };
    }),
};

async function coldTail({ person, getToken }: PluginWorld): Promise<number> {
  const { CURFEW_CACHE_DIR = '', CURFEW_CONFIG_DIR = '' } = person.env;
  for (const folder of [CURFEW_CACHE_DIR, `${CURFEW_CONFIG_DIR}/sessions`, `${CURFEW_CONFIG_DIR}/secrets`])
    rmSync(folder, { recursive: true, force: true });
  // The browser is this program, which knows when the login is over.
  const recorder = makeRecorder(person.dir);
  const KUBERNETES_EXEC_INFO = JSON.stringify({
    ...{ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', spec: { interactive: true } },
  });
  const env = { ...getToken.env, KUBERNETES_EXEC_INFO, BROWSER: recorder.command };
  const ends = Array.from({ length: CALLS }, async () => {
    const child = spawn(getToken.command, getToken.args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`get-token ended with ${code}`);
    return performance.now();
  });
  const address = await recorder.address();
  // Until all of them wait.
  await sleep(3_000);
  const alice = { user: 'alice', password: 'wonderland', otp: '' };
  const outcome = await visit(address, alice, 'login', new CookieJar(), () => undefined);
  const over = performance.now();
  if (outcome.ended !== 'callback') throw new Error(`the login ended as ${outcome.ended}`);
  return Math.max(...(await Promise.all(ends))) - over;
}
