// The segment of a shell's prompt, and the word before a session ends: by both programs, at a real terminal where a person is.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { printEntry } from '../../cli/warm/entry.ts';
import { run } from '../../scripts/run.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { INSTANT } from '../support/local_time.ts';
import { runInPty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';

for (const via of PROGRAMS)
  describe(`status --prompt (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk({}, { via });
      assert.equal((await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
    });
    after(() => desk.stop());
    const prompt = async (env: Readonly<Record<string, string | undefined>> = {}): Promise<string> => {
      const { code, stdout, stderr } = await desk.curfew(['status', '--prompt'], env);
      assert.deepEqual([code, stderr], [0, '']);
      return stdout;
    };
    const use = (context: string) => {
      const file = desk.env.KUBECONFIG ?? '';
      writeFileSync(file, readFileSync(file, 'utf8').replace(/^current-context: .*$/m, `current-context: ${context}`));
    };

    it('says who, which cluster, how long still; before a login, that there is none', async () => {
      assert.equal(await prompt(), 'dev not logged in\n');
      credentialOf(await desk.getToken('dev', true));
      assert.match(await prompt(), /^curfew:alice@example\.com dev (30m|29m)\n$/);
      use('prod');
      assert.match(
        await prompt(),
        /^curfew:alice@example\.com prod (15m|14m)\n$/,
        'by its own limit, before it is used',
      );
      credentialOf(await desk.getToken('prod', false));
      assert.match(await prompt(), /^curfew:alice@example\.com prod (15m|14m)\n$/);
    });

    it('is empty for a context that is not ours, for none, and for names that only objects have', async () => {
      for (const context of ['minikube', '""', '__proto__', 'constructor']) {
        use(context);
        assert.equal(await prompt(), '', context);
      }
      use('dev');
      assert.equal(await prompt({ KUBECONFIG: `${desk.dir}/gone` }), '');
      assert.match(await prompt({ KUBECONFIG: `${desk.dir}/gone:${desk.env.KUBECONFIG}` }), / dev /);
      writeFileSync(`${desk.dir}/other`, 'current-context: "minikube"\n');
      assert.equal(await prompt({ KUBECONFIG: `${desk.dir}/other:${desk.env.KUBECONFIG}` }), '');
    });

    it('reads kubeconfig as kubectl does: relative paths, other spellings; and never takes another cluster for ours', async () => {
      use('dev');
      const ours = desk.env.KUBECONFIG ?? '';
      const said = await prompt();
      assert.match(said, / dev /);
      const relative = await run(
        '/bin/sh',
        ['-c', 'cd "$0" && exec "$@"', desk.dir, ...desk.command, 'status', '--prompt'],
        {
          env: { ...desk.env, KUBECONFIG: path.basename(ours) },
        },
      );
      assert.match(relative.stdout, / dev /);
      for (const spelling of [
        '"current-context": dev',
        'current-context : dev',
        'current-context:\n  dev',
        'current-context: &x dev',
      ]) {
        const file = `${desk.dir}/spelling`;
        writeFileSync(file, readFileSync(ours, 'utf8').replace(/^current-context: .*$/m, spelling));
        assert.match(await prompt({ KUBECONFIG: file }), / dev /, spelling);
      }
      const utf16 = `${desk.dir}/utf16`;
      writeFileSync(utf16, Buffer.from(`\ufeff${readFileSync(ours, 'utf8')}`, 'utf16le'));
      assert.match(await prompt({ KUBECONFIG: utf16 }), / dev /);
      const kind = `${desk.dir}/kind`;
      const context = 'contexts:\n- {name: dev, context: {cluster: kind, user: kind}}\n';
      writeFileSync(kind, `current-context: dev\n${context}users:\n- {name: kind, user: {token: abc}}\n`);
      assert.equal(await prompt({ KUBECONFIG: kind }), '');
      // Of two files the first names the context, and so the user: ours behind it is another's.
      assert.equal(await prompt({ KUBECONFIG: `${kind}:${ours}` }), '');
      assert.match(await prompt({ KUBECONFIG: `${ours}:${kind}` }), / dev /);
    });

    it('says that a login is required once the session is over, and asks nobody', async () => {
      use('dev');
      assert.equal((await desk.curfew(['logout', '--ca-file', desk.ca_file])).code, 0);
      assert.equal(await prompt(), 'dev not logged in\n');
      credentialOf(await desk.getToken('dev', true));
      const asked = desk.broker.audit().length;
      const [name = ''] = (await desk.entries()).filter((entry) => entry.includes(',dev,'));
      const file = `${desk.dir}/cache/${name}`;
      const entry = JSON.parse(readFileSync(file, 'utf8'));
      writeFileSync(file, printEntry({ ...entry, minted_local: entry.minted_local - 3_600 }));
      assert.equal(await prompt(), 'curfew:alice@example.com dev login required\n');
      assert.equal(desk.broker.audit().length, asked);
    });

    it('shows nothing that a shell or a terminal could take for more than text', async () => {
      const [name = ''] = readdirSync(`${desk.dir}/config/sessions`);
      const file = `${desk.dir}/config/sessions/${name}`;
      const record = JSON.parse(readFileSync(file, 'utf8'));
      const username = '$(touch /tmp/x)`id`%n\\[\x1b[31m"é\u202e';
      writeFileSync(file, JSON.stringify({ ...record, session: { ...record.session, username } }));
      for (const entry of await desk.entries()) rmSync(`${desk.dir}/cache/${entry}`);
      const text = await prompt();
      assert.match(text, /^[A-Za-z0-9 @:._+\-é]+\n$/);
    });
  });

for (const via of PROGRAMS)
  it(`the prompt does not count down to a revalidation that asks nobody (${via})`, async (context) => {
    const limits = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '1m', revalidate: '10m' };
    const desk = await openDesk({ policy: { limits } }, { via });
    context.after(() => desk.stop());
    assert.equal((await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
    credentialOf(await desk.getToken('dev', true));
    assert.match((await desk.curfew(['status', '--prompt'])).stdout, /^curfew:alice@example\.com dev (30m|29m)\n$/);
  });

for (const via of PROGRAMS)
  describe(`the last 5 minutes of a session (${via})`, () => {
    let desk: Desk;
    before(async () => {
      const limits = { max_age: '10m', inactivity_timeout: '10m', token_ttl: '5m' };
      const segments = [{ name: 'prod', match: { clusters: ['prod'] }, limits: { max_age: '5m' } }];
      desk = await openDesk({ policy: { limits, segments } }, { via });
    });
    beforeEach(async () => {
      await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file]);
      desk.idp.setAuthTimeOffset(null, 0);
    });
    after(() => desk.stop());

    const call = async (cluster: string): Promise<string> => {
      const args = ['get-token', '--broker', desk.url, '--cluster', cluster, '--ca-file', desk.ca_file];
      using pty = desk.curfewAtTerminal(args, { KUBERNETES_EXEC_INFO: execInfo(true) });
      await pty.waitFor('"kind":"ExecCredential"');
      assert.equal((await pty.exit).code, 0);
      return pty.output();
    };
    /** As a login that was made so long ago: the cached entry, and what it says of the session. */
    const age = async (seconds: number) => {
      for (const name of await desk.entries()) {
        const file = `${desk.dir}/cache/${name}`;
        const entry = JSON.parse(readFileSync(file, 'utf8'));
        const { auth_time, end_at_most, ...session } = entry.session;
        const older = { ...session, auth_time: auth_time - seconds, end_at_most: end_at_most - seconds };
        writeFileSync(file, printEntry({ ...entry, session: older }));
      }
    };
    const WARNING = new RegExp(
      String.raw`curfew: your session ends in (5m|4m|\d+s) \(${INSTANT}\); to continue without interruption, run: kubectl curfew login --broker \S+`,
    );

    it('are announced with a renewal', async () => {
      desk.idp.endSessions(null);
      desk.idp.setAuthTimeOffset(null, 301);
      credentialOf(await desk.getToken('dev', true));
      for (const name of await desk.entries()) rmSync(`${desk.dir}/cache/${name}`);
      assert.match(await call('dev'), WARNING);
    });

    it('are announced once, at a terminal, with the time and the way', async () => {
      credentialOf(await desk.getToken('dev', true));
      assert.doesNotMatch(await call('dev'), WARNING);
      await age(301);
      assert.equal((await desk.getToken('dev', false)).stderr, '', 'not where nobody is');
      assert.equal((await desk.getToken('dev', true)).stderr, '', 'not where stderr is no terminal');
      assert.match(await call('dev'), WARNING);
      assert.doesNotMatch(await call('dev'), WARNING);
      const marks = readdirSync(`${desk.dir}/cache`).filter((name) => name.startsWith('warned'));
      assert.equal(marks.length, 1);
    });

    it('are announced once by many calls at once', async () => {
      credentialOf(await desk.getToken('dev', true));
      await age(301);
      const script = 'exec 3<&0; i=0; while [ $i -lt 10 ]; do "$@" <&3 & i=$((i+1)); done; wait';
      const args = ['get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
      const env = { ...desk.env, KUBERNETES_EXEC_INFO: execInfo(true) };
      using pty = runInPty('/bin/sh', ['-c', script, 'sh', ...desk.command, ...args], { env });
      await pty.exit;
      assert.equal(pty.output().match(/"kind":"ExecCredential"/g)?.length, 10);
      assert.equal(pty.output().match(/your session ends in/g)?.length, 1);
    });

    it('are announced again for the next session', async () => {
      credentialOf(await desk.getToken('dev', true));
      await age(301);
      assert.match(await call('dev'), WARNING);
    });

    it('are not announced where the limit is no longer than they are', async () => {
      credentialOf(await desk.getToken('prod', true));
      await age(10);
      assert.doesNotMatch(await call('prod'), /your session ends in/);
    });
  });
