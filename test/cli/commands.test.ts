// The commands as a person types them: usage, `status`, `logout --all`, `login --no-browser`, and what they never say.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { parseGetToken } from '../../cli/warm/arguments.ts';
import { oneLine } from '../../cli/warm/one_line.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { INSTANT } from '../support/local_time.ts';
import { credentialOf, type Desk, openDesk, refusalOf } from './desk.ts';

describe('usage', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());

  it('what is unknown, missing or malformed ends with 64, one error and one hint', async () => {
    for (const args of [
      ['nonsense'],
      ['sessions', 'list'],
      ['--nonsense'],
      ['login', 'too', 'many'],
      ['login', '--flow', 'telepathy'],
      ['login', '--flow'],
      ['status', '-o', 'yaml'],
      ['setup'],
      ['setup', '--broker', desk.url, '--max-age', '15 min'],
      ['get-token'],
      ['get-token', '--broker', desk.url],
      ['get-token', '--broker', desk.url, '--cluster', 'dev', '--max-age', '0s'],
      ['get-token', '--broker', desk.url, '--cluster', 'dev', '--nonsense'],
      ['logout'],
      ['login'],
    ]) {
      const result = await desk.curfew(args);
      assert.equal(result.code, 64, `${args.join(' ')}: ${result.stderr}`);
      refusalOf(result);
    }
  });

  it('help goes to stdout, names every command and flag, and ends with 0', async () => {
    const general = await desk.curfew(['--help']);
    assert.equal(general.code, 0);
    for (const command of ['setup', 'get-token', 'login', 'logout', 'status']) {
      assert.match(general.stdout, new RegExp(`^ +${command} `, 'm'));
      const { code, stdout } = await desk.curfew([command, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^Usage: kubectl-curfew ${command} \\[options\\]$`, 'm'));
    }
    assert.equal((await desk.curfew([])).stdout, general.stdout);
  });

  it('a settings file that is broken is named, with the path inside', async () => {
    mkdirSync(`${desk.dir}/broken`, { mode: 0o700 });
    for (const [text, fault] of [
      ['{', 'not JSON'],
      ['{"colour": 1}', 'colour: unknown setting'],
      ['{"brokers": {"https://x": {"ca_file": 1}}}', 'brokers.https://x.ca_file: expected a path'],
    ] as const) {
      writeFileSync(`${desk.dir}/broken/config.json`, text);
      const result = await desk.curfew(['status'], { CURFEW_CONFIG_DIR: `${desk.dir}/broken` });
      assert.equal(result.code, 78);
      assert.equal(refusalOf(result).error, `${desk.dir}/broken/config.json: ${fault}`);
    }
  });

  it('arguments of get-token are parsed, or left to the full program; never thrown', () => {
    const word = fc.oneof(fc.string(), fc.constantFrom('--broker', '--cluster', '--max-age', '--broker=x', '15m'));
    fc.assert(fc.property(fc.array(word), (words) => void parseGetToken(['get-token', ...words])));
    assert.equal(parseGetToken(['get-token', '--broker', 'b', '--broker', 'b', '--cluster', 'c']), undefined);
    assert.equal(parseGetToken(['get-token', '--broker', '--cluster', 'c']), undefined);
  });

  it('what others wrote cannot draw on the terminal', () => {
    assert.equal(oneLine('a\x1b[2Jb\r\nc\u202ed\u2028e'), 'a [2Jb c d e');
  });
});

describe('status', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk({}, { known: false });
  });
  after(() => desk.stop());
  const json = async () => JSON.parse((await desk.curfew(['status', '-o', 'json'])).stdout);

  it('says that no broker is set up, and then that nobody is logged in', async () => {
    assert.match((await desk.curfew(['status'])).stdout, /^no broker is set up: kubectl curfew setup --broker URL\n$/);
    assert.deepEqual((await json()).brokers, []);
    await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file]);
    const { code, stdout } = await desk.curfew(['status']);
    assert.equal(code, 0);
    assert.equal(stdout, `broker   ${desk.url} (default)\nlogin    not logged in\n`);
  });

  it('says who, since when, which clusters, and when each limit strikes, as times and as lengths', async () => {
    assert.equal((await desk.curfew(['login'])).code, 0);
    const { stdout } = await desk.curfew(['status']);
    assert.match(stdout, /^person {3}curfew:alice@example.com, groups curfew:dev curfew:sre$/m);
    assert.match(stdout, new RegExp(String.raw`^login {4}${INSTANT} \(\d+s ago\), session \S+$`, 'm'));
    assert.match(stdout, /^secrets {2}in the file \S+: there is no keychain$/m);
    const lines = [
      'cluster {2}prod: ready',
      String.raw` {11}max_age 15m: until ${INSTANT} \(in 1[1-5]m\)`,
      String.raw` {11}inactivity_timeout 30m: until ${INSTANT} \(in (30|2\d)m\)`,
      ' {11}an end takes effect within 5m 10s',
    ];
    assert.match(stdout, new RegExp(`^${lines.join('\n')}$`, 'm'));
    assert.match(
      stdout,
      /^cluster {2}vault: refused: login is too weak: acr mfa is required\n {11}an end takes effect within 5m 10s$/m,
    );
    const own = stdout.split('\n').filter((line) => !/^(broker|secrets) /.test(line));
    assert.deepEqual(
      own.filter((line) => line.length > 80),
      [],
      'it fits 80 columns, but for addresses and names of files',
    );
  });

  it('says the same as JSON, in seconds of this clock', async () => {
    const { now, brokers } = await json();
    const [{ session, clusters, logged_in, secrets }] = brokers;
    assert.equal(logged_in, true);
    assert.equal(secrets.kept_in, 'file');
    const prod = clusters.find(({ name }: { name: string }) => name === 'prod');
    assert.ok(prod.allowed && Math.abs(prod.strikes.max_age - (session.logged_in_at + 900)) <= 1);
    assert.ok(Math.abs(session.logged_in_at - now) < 30);
    assert.equal(clusters.find(({ name }: { name: string }) => name === 'vault').reason, 'acr_too_low');
    assert.deepEqual([prod.credential, prod.end_within], ['token', 310]);
  });

  it('works with the broker away, from what is here', async () => {
    credentialOf(await desk.getToken('prod', false));
    await desk.stopBroker();
    const [{ clusters, logged_in }] = (await json()).brokers;
    assert.equal(logged_in, true);
    assert.deepEqual(
      clusters.map(({ name }: { name: string }) => name),
      ['prod'],
    );
    await desk.restartBroker();
  });

  it('logout --all ends what is there, and status says so', async () => {
    const result = await desk.curfew(['logout', '--all']);
    assert.equal(result.code, 0, result.stderr);
    assert.equal(result.stdout, `logged out of ${desk.url}\n`);
    assert.match((await desk.curfew(['status'])).stdout, /^login {4}not logged in$/m);
    assert.equal((await desk.curfew(['logout'])).stdout, `not logged in at ${desk.url}\n`);
  });
});

describe('status of a cluster that does not admit', () => {
  let desk: Desk;
  const clusters = (admitted: Readonly<Record<string, string>>) => {
    const common = { server: 'https://127.0.0.1:6443', ca_file: desk.ca_file };
    return {
      clusters: ['dev', 'prod', 'vault'].map((name) => ({
        ...{ ...common, name, audience: `${name}-audience`, allowed_groups: [admitted[name] ?? '*'] },
      })),
    };
  };
  before(async () => {
    desk = await openDesk({}, { known: false });
    assert.equal((await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
    desk.browser.set({ user: 'bob', password: 'builder' });
  });
  after(() => desk.stop());
  type Told = { name: string; allowed: boolean; reason?: string };
  const told = async () => {
    const [{ clusters }] = JSON.parse((await desk.curfew(['status', '-o', 'json'])).stdout).brokers;
    return Object.fromEntries(clusters.map(({ name, allowed, reason }: Told) => [name, reason ?? allowed]));
  };
  const prompt = async (context: string) => {
    const file = desk.env.KUBECONFIG ?? '';
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^current-context: .*$/m, `current-context: ${context}`));
    return (await desk.curfew(['status', '--prompt'])).stdout;
  };

  it('says so from the login on, before all that a login would mend; also in the prompt', async () => {
    await desk.restartBroker(clusters({ prod: 'sre', vault: 'sre' }));
    assert.equal((await desk.curfew(['login'])).code, 0);
    assert.deepEqual(await told(), { dev: true, prod: 'invalid_target', vault: 'invalid_target' });
    const { stdout } = await desk.curfew(['status']);
    assert.match(stdout, /^cluster {2}dev: ready\n {11}max_age /m);
    assert.match(stdout, /^cluster {2}prod: not admitted: ask an administrator\n {11}an end takes effect /m);
    assert.equal(await prompt('prod'), 'curfew:bob@example.com prod not admitted\n');
    assert.match(await prompt('dev'), /^curfew:bob@example\.com dev \d+m\n$/);
    assert.equal((await desk.getToken('prod', false)).code, 78);
  });

  it('follows what changes at the broker, with the next renewal of any cluster, and remembers it without network', async () => {
    await desk.restartBroker(clusters({ dev: 'sre', vault: 'sre' }));
    credentialOf(await desk.getToken('prod', false));
    const now = { dev: 'invalid_target', prod: true, vault: 'invalid_target' };
    assert.deepEqual(await told(), now);
    await desk.stopBroker();
    assert.deepEqual(await told(), { prod: true });
    await desk.restartBroker(clusters({ prod: 'sre' }));
    credentialOf(await desk.getToken('dev', false));
    await desk.stopBroker();
    assert.deepEqual(await told(), { dev: true, prod: 'invalid_target' });
    await desk.restartBroker();
  });

  it('knows it after a refusal as well, and a cluster that admits again is asked for as ever', async () => {
    await desk.curfew(['login']);
    assert.equal((await told()).prod, true);
    await desk.restartBroker(clusters({ prod: 'sre' }));
    const refused = await desk.getToken('prod', false);
    assert.equal(refused.code, 78);
    assert.match(refused.stderr, /you have no access to it/);
    assert.deepEqual(await told(), { dev: true, prod: 'invalid_target', vault: 'acr_too_low' });
    await desk.restartBroker();
    credentialOf(await desk.getToken('prod', false));
    assert.equal((await told()).prod, true);
  });

  it('nor lets a login for it touch the session of before, here or at the broker', async () => {
    await desk.restartBroker();
    assert.equal((await desk.curfew(['login'])).code, 0);
    for (const cluster of ['dev', 'prod']) credentialOf(await desk.getToken(cluster, false));
    await desk.restartBroker(clusters({ prod: 'sre' }));
    const kept = () =>
      Object.fromEntries(
        [desk.env.CURFEW_CONFIG_DIR ?? '', desk.env.CURFEW_CACHE_DIR ?? ''].flatMap((folder) =>
          readdirSync(folder, { recursive: true, withFileTypes: true })
            .filter((one) => one.isFile())
            .map(({ name, parentPath }) => path.join(parentPath, name))
            .map((file) => [file, readFileSync(file, 'utf8')]),
        ),
      );
    const before = kept();
    const names = Object.keys(before);
    assert.equal(
      names.filter((file) => /(cache|secrets|sessions)\/https[^/]*\.json$/.test(file)).length,
      4,
      names.join(),
    );
    for (const [cluster, error, visits] of [
      ['prod', /no such cluster or target, or you have no access to it$/, 1],
      ['nowhere', /^the broker has no cluster nowhere$/, 0],
    ] as const) {
      const tabs = desk.browser.visits().length;
      const result = await desk.curfew(['login', '--cluster', cluster]);
      assert.equal(result.code, 78, result.stderr);
      assert.match(refusalOf(result).error, error);
      assert.equal(desk.browser.visits().length, tabs + visits);
      assert.deepEqual(kept(), before);
    }
    assert.deepEqual(
      desk.broker.audit().filter(({ event }) => event === 'end' || event === 'login'),
      [],
    );
    credentialOf(await desk.getToken('dev', false, { more: ['--max-age', '50m'] }));
    await desk.restartBroker();
  });

  it('says what it said before where a broker tells nothing of it; a record of another form does not count', async () => {
    const folder = `${desk.env.CURFEW_CONFIG_DIR}/sessions`;
    const file = `${folder}/${readdirSync(folder).find((name) => name.endsWith('.json'))}`;
    const { not_admitted: _, ...record } = JSON.parse(readFileSync(file, 'utf8'));
    const put = (more: object) => writeFileSync(file, JSON.stringify({ ...record, ...more }));
    put({});
    assert.equal((await told()).prod, true);
    put({ not_admitted: ['prod'] });
    assert.equal((await told()).prod, 'invalid_target');
    for (const not_admitted of ['prod', [1], { prod: true }, null, ['']]) {
      put({ not_admitted });
      assert.match((await desk.curfew(['status'])).stdout, /^login {4}not logged in$/m, JSON.stringify(not_admitted));
    }
  });
});

describe('login', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
    await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file]);
  });
  after(() => desk.stop());

  it('with --no-browser opens none, and continues when somebody follows the address', async () => {
    const { cli } = await buildBundles();
    const child = spawn(process.execPath, [cli, 'login', '--no-browser'], { env: desk.env });
    let [stderr, stdout] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    const address = await new Promise<string>((resolve) => {
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
        const [, url] = /log in at: (\S+)\n/.exec(stderr) ?? [];
        if (url) resolve(url);
      });
    });
    assert.deepEqual(desk.browser.visits(), []);
    spawn(desk.browser.command, [address], { stdio: 'ignore' });
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^logged in as curfew:alice@example.com for 1h/);
  });

  it('with a BROWSER that is not there says so, and that the address above is the way', async () => {
    const { cli } = await buildBundles();
    const child = spawn(process.execPath, [cli, 'login'], { env: { ...desk.env, BROWSER: '/nowhere/browser' } });
    let stderr = '';
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
        if (
          /no browser could be opened: open the address above in one on this machine, or use --flow paste\n/.test(
            stderr,
          )
        )
          resolve();
      });
    });
    child.kill();
  });

  it('by another person replaces the first, whose tokens are not served any more (S15)', async () => {
    assert.equal((await desk.curfew(['login', '--cluster', 'dev'])).code, 0);
    const first = credentialOf(await desk.getToken('dev', false));
    desk.idp.setUser('bob', { password: 'builder', email: 'bob@example.com', email_verified: true, groups: ['dev'] });
    desk.browser.set({ user: 'bob', password: 'builder' });
    desk.idp.endSessions(null);
    assert.match((await desk.curfew(['login'])).stdout, /^logged in as curfew:bob@example.com/);
    const second = credentialOf(await desk.getToken('dev', false));
    assert.notEqual(second.token, first.token);
    assert.match(Buffer.from(second.token.split('.')[1] ?? '', 'base64url').toString(), /bob@example.com/);
  });

  it('never shows a token, a handle or a key, in no output and no file but those meant for it (H5)', async () => {
    const outputs = [
      await desk.curfew(['login', '--cluster', 'dev']),
      await desk.curfew(['status']),
      await desk.curfew(['status', '-o', 'json']),
      await desk.getToken('nowhere', false),
      await desk.curfew(['logout']),
    ].map(({ stdout, stderr }) => stdout + stderr);
    const [name = ''] = readdirSync(`${desk.dir}/config/secrets`);
    const { dpop_private_jwk } = JSON.parse(readFileSync(`${desk.dir}/config/secrets/${name}`, 'utf8'));
    for (const text of [...outputs, desk.broker.output()]) {
      assert.doesNotMatch(text, /eyJ[A-Za-z0-9_-]{10,}\./);
      assert.ok(!text.includes(dpop_private_jwk.d));
    }
  });
});
