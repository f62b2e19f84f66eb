// The demo played by itself: each command as a person would type it, its real output, and whether it did what it should.

import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../scripts/run.ts';
import { runInPty } from '../support/pty.ts';
import { startWorld } from '../support/world.ts';
import { DEMO_PLANES, DEMO_POLICY, DEMO_SECTIONS, MAX_AGE } from './policy.ts';
import { say } from './say.ts';

interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

type Check = (outcome: Outcome) => boolean;

/** What a step must have done. */
const works =
  (pattern: RegExp): Check =>
  ({ code, text }) =>
    code === 0 && pattern.test(text);
const refuses =
  (pattern: RegExp): Check =>
  ({ code, text }) =>
    code !== 0 && pattern.test(text);

/** @throws Error naming the first step that did not do what it should */
export async function play(): Promise<void> {
  say('# starting: identity provider, curfew-broker, etcd, kube-apiserver');
  const world = await startWorld({
    policy: DEMO_POLICY,
    planes: DEMO_PLANES,
    sections: DEMO_SECTIONS,
    log: say,
    withoutNative: say,
  });
  try {
    const { env, browser } = await world.person('alice');
    const carol = await world.person('carol');

    /** Types a line at a terminal, or runs it with none. */
    const type = async (line: string, check: Check, { terminal = true, as = env } = {}) => {
      say(`\n${as === env ? '' : 'carol '}$ ${line}`);
      const outcome = terminal ? await atTerminal(line, as) : await withoutTerminal(line, as);
      say(outcome.text.trimEnd());
      if (outcome.code !== 0) say(`(exit status ${outcome.code})`);
      if (!check(outcome)) throw new Error(`this did not do what it should: ${line}`);
    };
    const logins = () => browser.visits().length;
    const expectLogins = (count: number) => {
      if (logins() !== count) throw new Error(`expected ${count} logins so far, found ${logins()}`);
    };

    const setup = `kubectl curfew setup --broker ${world.brokerUrl} --ca-file ${world.authority.caFile}`;
    say('\n# the policy: a login is good for 60 s');
    await type(setup, works(/dev/));
    say('\n# the first call logs in, in a browser (here a script types the password)');
    await type('kubectl get namespaces', works(/default\s+Active/));
    const login = Date.now();
    expectLogins(1);
    say('\n# the next ones do not');
    for (let i = 0; i < 3; i++) await type('kubectl get namespaces -o name', works(/namespace\/default/));
    await type('kubectl auth whoami', works(/curfew:alice@example\.com[\s\S]*session-id/));
    await type('kubectl curfew status', works(/alice@example\.com/));
    expectLogins(1);

    await countDown(login + (MAX_AGE + 1) * 1000);
    say('\n# a script, with nobody at a terminal, is refused at once');
    await type('kubectl get namespaces', refuses(/login is too old: last login 6\ds ago, limit 60s/), {
      terminal: false,
    });
    expectLogins(1);
    say('\n# at a terminal the same call says why, logs in again and goes on');
    await type('kubectl get namespaces', works(/login is too old[\s\S]*default\s+Active/));
    expectLogins(2);
    await type('kubectl auth whoami', works(/curfew:alice@example\.com/));
    say('\n# the end, before the time: carol of the security team ends the session');
    await type(setup, works(/dev/), { as: carol.env });
    await type('kubectl curfew login', works(/logged in as curfew:carol/), { as: carol.env });
    await type('kubectl curfew sessions list --all', works(/alice@example\.com/), { as: carol.env });
    await type('kubectl get namespaces -o name', works(/namespace\/default/));
    const end = 'kubectl curfew sessions end --user alice@example.com --reason "laptop stolen"';
    await type(end, works(/alice@example\.com/), { as: carol.env });
    say('\n# kubectl still holds a token that has not expired, and is denied at its next request');
    // On a slow machine that token may have run out meanwhile: then the plugin says the same.
    const over = refuses(/session is over: ended by an administrator/);
    await type('kubectl get namespaces', over, { terminal: false });
    await type('kubectl curfew logout', works(/./));
    await type('kubectl get namespaces', refuses(/not logged in|login/), { terminal: false });
    expectLogins(2);
    say('\n# each login, token, refusal and end is in the audit log, chained by hash');
    const record = await world.site.command('audit', 'verify');
    say(`\n$ curfew-broker audit verify --config ${world.site.configFile}\n${record.stdout.trimEnd()}`);
    if (record.code !== 0) throw new Error('the audit log is not whole');
    say('\n# all of it did what it should');
  } finally {
    await world.stop();
  }
}

async function atTerminal(line: string, env: Readonly<Record<string, string>>): Promise<Outcome> {
  using pty = runInPty('/bin/sh', ['-c', line], { env, cols: 120 });
  const { code } = await pty.exit;
  return { code, text: pty.output().replaceAll('\r\n', '\n') };
}

async function withoutTerminal(line: string, env: Readonly<Record<string, string>>): Promise<Outcome> {
  const { code, stdout, stderr } = await run('/bin/sh', ['-c', line], { env });
  return { code, text: stdout + stderr };
}

/** Says so, as a wait without a word looks like a fault. */
async function countDown(until: number): Promise<void> {
  say('');
  for (let left = until - Date.now(); left > 0; left = until - Date.now()) {
    say(`# waiting until the login is ${MAX_AGE} s old: ${Math.ceil(left / 1000)} s left`);
    await sleep(Math.min(left, 15_000));
  }
}
