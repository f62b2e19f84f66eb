// `audit kubeconfig` as a person runs it: which files it reads and who else can, its exit status, and --fix with a real broker.

import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { parse } from 'yaml';
import { KubeconfigText } from '../../cli/kubeconfig/text.ts';
import { TextFault } from '../../cli/kubeconfig/yaml.ts';
import { type Desk, openDesk, refusalOf } from './desk.ts';

const CORPUS = path.join(import.meta.dirname, 'kubeconfigs');
const user = (name: string, fields: string) => `- name: ${name}\n  user: ${fields}\n`;
const config = (users: string) => `apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers:\n${users}`;

interface Reported {
  readonly files: readonly string[];
  readonly findings: readonly {
    readonly name: string;
    readonly file: string;
    readonly line: number;
    readonly entry?: string;
    readonly detail: string;
    readonly machine: boolean;
  }[];
}

describe('audit kubeconfig', () => {
  let desk: Desk;
  let home: string;
  let count = 0;
  const file = (name: string) => path.join(home, '.kube', name);
  const write = (name: string, text: string, mode = 0o600) => {
    writeFileSync(file(name), text);
    chmodSync(file(name), mode);
  };
  const run = (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
    desk.curfew(['audit', 'kubeconfig', ...args], {
      HOME: home,
      KUBECONFIG: '',
      PATH: '/usr/bin:/bin',
      ...NO_CI,
      ...env,
    });
  const json = async (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Reported> =>
    JSON.parse((await run([...args, '-o', 'json'], env)).stdout);
  const names = async (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
    (await json(args, env)).findings.map(({ name, file: one }) => `${path.basename(one)} ${name}`).toSorted();

  before(async () => {
    desk = await openDesk();
  });
  beforeEach(() => {
    count += 1;
    home = path.join(desk.dir, `home${count}`);
    mkdirSync(path.join(home, '.kube'), { recursive: true, mode: 0o700 });
  });
  after(() => desk.stop());

  it('exits with 0 and says what it read where nothing is found, with 1 where something is, with 78 where a named file is not there', async () => {
    assert.deepEqual([(await run()).code, (await run()).stdout], [0, 'there is no kubeconfig here\n']);
    write('config', config(user('a', '{}')));
    const nothing = await run();
    assert.deepEqual([nothing.code, nothing.stdout], [0, `nothing found in ${file('config')}\n`]);
    write('config', config(user('a', '{token: CANARY-token}')));
    const something = await run();
    assert.equal(something.code, 1);
    assert.match(something.stdout, /^ {2}7 +static_token +user a +without an end that it says$/m);
    assert.match(something.stdout, /^static_token: a bearer token\n {2}instead: /m);
    const missing = await run([file('none')]);
    assert.equal(missing.code, 78);
    assert.equal(refusalOf(missing).error, `${file('none')} is not there`);
    assert.equal((await run(['-o', 'yaml'])).code, 64);
  });

  it('takes a file that only its owner reads, and names one that a group or everybody can read, where a secret is in it', async () => {
    for (const [mode, found] of [
      [0o600, []],
      [0o400, []],
      [0o640, ['config group_readable']],
      [0o604, ['config world_readable']],
      [0o644, ['config world_readable']],
      [0o620, ['config writable_by_others']],
    ] as const) {
      write('config', config(user('a', '{token: t}')), mode);
      const real = await names();
      assert.deepEqual(real, [...found, 'config static_token'].toSorted(), mode.toString(8));
    }
    write('config', config(user('a', '{}')), 0o644);
    assert.deepEqual(await names(), []);
    write('key', '-----BEGIN EC PRIVATE KEY-----\nCANARY\n', 0o644);
    write('config', config(user('a', '{client-key: key}')));
    assert.deepEqual(await names(), ['config client_certificate', 'config world_readable']);
  });

  it('finds copies in lists, what an earlier file hides, and backups beside, but not a link to the same file', async () => {
    write('config', config(user('a', '{token: same-token}')));
    write('second', config(user('a', '{token: other-token}') + user('b', '{token: same-token}')));
    write('config.bak', config(user('old', '{password: p}')));
    write('.config.swp', 'b0VIM\u0000\u0001 token: CANARY-swap-file');
    write('notes.txt', 'nothing of the kind');
    write('kuberc', 'apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n');
    symlinkSync(file('config'), file('link'));
    const KUBECONFIG = `${file('config')}:${file('second')}:${file('absent')}`;
    assert.deepEqual(await names([], { KUBECONFIG }), [
      ...['.config.swp backup_beside', 'config static_token'],
      ...['config.bak backup_beside'],
      ...['second copied_secret', 'second shadowed_entry', 'second static_token', 'second static_token'],
    ]);
  });

  it('looks beside a kubeconfig that is not there any more', async () => {
    write('config.bak', config(user('old', '{password: p}')));
    assert.deepEqual(await names(), ['config.bak backup_beside']);
  });

  it('looks beside a file elsewhere for those that bear its name alone', async () => {
    const folder = path.join(home, 'work');
    mkdirSync(folder);
    for (const name of ['kc', 'kc.old', 'kc~', '#kc#', 'other'])
      writeFileSync(path.join(folder, name), config(user('a', `{token: t-${name}}`)), { mode: 0o600 });
    assert.deepEqual(await names([path.join(folder, 'kc')]), [
      ...['#kc# backup_beside', 'kc static_token', 'kc.old backup_beside', 'kc~ backup_beside'],
    ]);
  });

  it('says what it could not look at, and never what is in it', async () => {
    write('config', 'users: [{name: a, user: {token: "CANARY-broken\n');
    mkdirSync(file('folder'));
    const { code, stdout } = await run([file('config'), file('folder')]);
    assert.equal(code, 1);
    assert.match(stdout, /unreadable +is not YAML that kubectl reads/);
    assert.match(stdout, /unreadable +is not a regular file/);
    assert.doesNotMatch(stdout, /CANARY/);
  });

  it('compares exec plugins with kuberc, by path or by what PATH has', async () => {
    const exec = (command: string) =>
      `{exec: {apiVersion: client.authentication.k8s.io/v1, command: ${command}, interactiveMode: Never}}`;
    write('config', config(user('a', exec('/bin/true')) + user('b', exec('"true"')) + user('c', exec('/bin/false'))));
    const found = async (env = {}) =>
      (await json([], env)).findings.filter(({ name }) => name === 'exec_not_allowlisted').map(({ entry }) => entry);
    assert.deepEqual(await found(), ['user a', 'user b', 'user c']);
    write(
      'kuberc',
      'credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- name: /bin/true\n- command: /usr/bin/false\n',
    );
    assert.deepEqual(await found({ PATH: '/bin' }), ['user c']);
    assert.deepEqual(await found({ PATH: '/usr/bin' }), ['user b', 'user c']);
    assert.deepEqual(await found({ KUBERC: 'off' }), ['user a', 'user b', 'user c']);
    write('plugin', '#!/bin/sh\n', 0o777);
    write('config', config(user('a', exec(file('plugin')))));
    assert.ok(
      (await json()).findings.some(
        ({ name, detail }) => name === 'exec_writable' && detail.includes('plugin can be written by others'),
      ),
    );
  });

  it('marks what a machine uses, by name, by what it is, or by where it runs', async () => {
    write('config', config(user('argocd', '{token: t}') + user('alice', '{token: u}')));
    const machines = async (env = {}) =>
      (await json([], env)).findings.filter(({ machine }) => machine).map(({ entry }) => entry);
    assert.deepEqual(await machines(), ['user argocd']);
    assert.deepEqual(await machines({ CI: 'false' }), ['user argocd']);
    assert.deepEqual(await machines({ CI: 'true' }), ['user argocd', 'user alice']);
  });

  it('prints no secret of the whole corpus, in no form', async () => {
    cpSync(CORPUS, path.join(home, 'corpus'), { recursive: true });
    const all = readdirSync(path.join(home, 'corpus')).filter((name) => name.endsWith('.yaml'));
    const files = all.map((name) => path.join(home, 'corpus', name));
    for (const args of [[], ['-o', 'json'], ['-o', 'sarif']]) {
      const { code, stdout, stderr } = await run([...args, ...files]);
      assert.deepEqual([code, stderr], [1, '']);
      assert.ok(stdout.length > 10_000);
      assert.doesNotMatch(stdout, /canary/i);
    }
  });

  describe('--fix', () => {
    const mine = (server: string) => `# mine\r
apiVersion: v1\r
kind: Config\r
clusters:\r
- cluster: {server: "${server}", certificate-authority: "${desk.ca_file}"} # the lab\r
  name: lab\r
contexts:\r
- context: {cluster: lab, user: me, namespace: team}\r
  name: lab\r
current-context: lab\r
users:\r
- name: me   # who I am\r
  user:\r
    token: CANARY-mine\r
# between\r
- {name: "keep", user: {token: "CANARY-keep"}}\r
- name: argocd\r
  user: {token: CANARY-machine}\r
x-future: [1,   2]\r
---\r
another: document\r
`;

    it('asks nobody without a terminal: it refuses, and nothing is written', async () => {
      write('config', mine('https://127.0.0.1:6443'));
      const refused = await run(['--fix']);
      assert.equal(refused.code, 64);
      assert.match(refusalOf(refused).error, /nobody is at a terminal/);
      assert.equal(readFileSync(file('config'), 'utf8'), mine('https://127.0.0.1:6443'));
      assert.equal((await run(['--yes'])).code, 64);
      assert.equal((await run(['--fix', '--yes', '-o', 'json'])).code, 64);
    });

    it('P15 replaces what the broker has a cluster for, and leaves all else to the byte', async () => {
      const clusters = [
        {
          name: 'lab',
          audience: 'lab',
          server: 'https://127.0.0.1:6443/',
          ca_file: desk.ca_file,
          allowed_groups: ['*'],
        },
      ];
      await desk.restartBroker({
        clusters,
        policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' } },
      });
      const text = mine('https://127.0.0.1:6443');
      write('config', text, 0o640);
      const { code, stdout, stderr } = await run(['--fix', '--yes', '--broker', desk.url]);
      assert.equal(code, 1, stderr);
      assert.match(
        stdout,
        /^replaced user me in .*config \(static_token\): a session at https:\S+ for the cluster lab$/m,
      );
      assert.match(stdout, /^left user keep in .*: no context leads to it/m);
      assert.match(stdout, /^left user argocd in .*: a machine uses it$/m);
      assert.doesNotMatch(stdout, /CANARY/);
      const after = readFileSync(file('config'), 'utf8');
      const [head = '', rest = ''] = text.split('- name: me   # who I am\r\n');
      const tail = rest.slice(rest.indexOf('# between'));
      assert.ok(after.startsWith(head) && after.endsWith(tail), after);
      const between = after.slice(head.length, after.length - tail.length);
      assert.doesNotMatch(between, /CANARY|[^\r]\n/);
      const [{ user: fields }] = parse(between);
      assert.deepEqual(fields.exec.args, [
        'get-token',
        '--broker',
        desk.url,
        '--cluster',
        'lab',
        '--ca-file',
        desk.ca_file,
      ]);
      assert.equal(statSync(file('config')).mode & 0o777, 0o640);
      // What is there works: the person logs in by it.
      const got = await desk.curfew(['login', '--broker', desk.url], { HOME: home });
      assert.equal(got.code, 0, got.stderr);
      const settings = JSON.parse(readFileSync(path.join(desk.env.CURFEW_CONFIG_DIR ?? '', 'config.json'), 'utf8'));
      assert.equal(settings.contexts.lab.cluster, 'lab');
      const again = await run(['--fix', '--yes', '--broker', desk.url]);
      assert.doesNotMatch(again.stdout, /replaced/);
      assert.equal(readFileSync(file('config'), 'utf8'), after);
    });

    it('leaves what cannot be replaced, with the reason, and replaces the others; in the file of a list that has the user', async () => {
      const way = `server: "https://127.0.0.1:6443", certificate-authority: "${desk.ca_file}"`;
      const cluster = `clusters:\n- cluster: {${way}}\n  name: lab\n`;
      const contexts = ['me', 'shared', 'other', 'locked'].map(
        (name) => `- context: {cluster: lab, user: ${name}}\n  name: ${name}\n`,
      );
      const anchored = '- name: shared\n  user: &it\n    token: CANARY-shared\n- name: other\n  user: *it\n';
      write('config', `${cluster}contexts:\n${contexts.join('')}`);
      write('users', `users:\n- name: me\n  user:\n    token: CANARY-me\n${anchored}`);
      write('third', 'users:\n- name: locked\n  user: {token: CANARY-locked}\n');
      symlinkSync('third', file('link'));
      const KUBECONFIG = ['config', 'users', 'link'].map(file).join(':');
      const { code, stdout } = await run(['--fix', '--yes', '--broker', desk.url], { KUBECONFIG });
      assert.equal(code, 1);
      assert.match(stdout, /^replaced user me in .*users /m);
      assert.match(stdout, /^left user shared in .*an entry that others refer to cannot be replaced$/m);
      assert.match(stdout, /^replaced user other in .*users /m);
      assert.match(stdout, /^replaced user locked in .*link /m);
      assert.doesNotMatch(stdout, /CANARY/);
      assert.ok(lstatSync(file('link')).isSymbolicLink());
      assert.match(readFileSync(file('users'), 'utf8'), /- name: shared\n {2}user: &it\n {4}token: CANARY-shared\n/);
      assert.doesNotMatch(readFileSync(file('users'), 'utf8'), /CANARY-me/);
      assert.doesNotMatch(readFileSync(file('third'), 'utf8'), /CANARY/);
    });

    it('leaves a user whose cluster is not verified as the broker says: a session would go to whoever is between', async () => {
      const server = '"https://127.0.0.1:6443"';
      const own = Buffer.from(readFileSync(desk.ca_file)).toString('base64');
      for (const [way, replaced] of [
        [`{server: ${server}, certificate-authority-data: ${own}}`, true],
        [`{server: ${server}, certificate-authority: "${desk.ca_file}"}`, true],
        [`{server: ${server}}`, false],
        [`{server: ${server}, certificate-authority-data: ${Buffer.from('another').toString('base64')}}`, false],
        [`{server: ${server}, certificate-authority: /nowhere}`, false],
        [`{server: ${server}, insecure-skip-tls-verify: true}`, false],
        [`{server: ${server}, certificate-authority-data: ${own}, insecure-skip-tls-verify: true}`, false],
        [`{server: ${server}, certificate-authority-data: ${own}, tls-server-name: other}`, false],
        [`{server: "https://127.0.0.1:6444", certificate-authority-data: ${own}}`, false],
      ] as const) {
        const text = `clusters:\n- cluster: ${way}\n  name: c\ncontexts:\n- context: {cluster: c, user: me}\n  name: c\nusers:\n${user('me', '{token: CANARY}')}`;
        write('config', text);
        const { stdout } = await run(['--fix', '--yes', '--broker', desk.url]);
        assert.equal(/^replaced user me /m.test(stdout), replaced, way);
        assert.equal(readFileSync(file('config'), 'utf8') === text, !replaced, way);
      }
    });

    it('asks at a terminal, and takes nothing but yes for yes', async () => {
      for (const [answer, replaced] of [
        ['n', false],
        ['', false],
        ['yes', true],
      ] as const) {
        const text = mine('https://127.0.0.1:6443');
        write('config', text);
        const pty = desk.curfewAtTerminal(['audit', 'kubeconfig', '--fix', '--broker', desk.url], {
          HOME: home,
          KUBECONFIG: '',
          ...NO_CI,
        });
        await pty.waitFor(/replace user me .* \[y\/N\]/);
        pty.write(`${answer}\r`);
        await pty.exit;
        assert.equal(readFileSync(file('config'), 'utf8') !== text, replaced, answer);
      }
    });
  });
});

const NO_CI = {
  CI: '',
  GITHUB_ACTIONS: '',
  GITLAB_CI: '',
  JENKINS_URL: '',
  TF_BUILD: '',
  KUBERC: '',
  KUBECTL_KUBERC: '',
};

describe('a user that is replaced', () => {
  const files = readdirSync(CORPUS).filter((name) => name.endsWith('.yaml'));
  const OURS = {
    user: {
      exec: { apiVersion: 'client.authentication.k8s.io/v1', command: '/x/kubectl-curfew', args: ['get-token'] },
    },
  };

  it('P15 leaves every other line of every file of the corpus as it is, or the file as a whole', () => {
    let replaced = 0;
    let refused = 0;
    for (const name of files) {
      const text = readFileSync(path.join(CORPUS, name), 'utf8');
      let users: readonly string[];
      try {
        users = new KubeconfigText(text).entries('users').map((one) => String(one.name));
      } catch (fault) {
        assert.ok(fault instanceof TextFault, name);
        continue;
      }
      for (const user of users) {
        const config = new KubeconfigText(text);
        let after: string;
        try {
          config.replace('users', user, OURS);
          after = config.toString();
        } catch (fault) {
          assert.ok(fault instanceof TextFault, `${name}: ${fault}`);
          refused += 1;
          continue;
        }
        replaced += 1;
        assert.deepEqual(new KubeconfigText(after).find('users', user)?.user, OURS.user, name);
        // What is common at both ends, in whole lines, must hold all lines but those of the entry.
        const [before, now] = [text.split('\n'), after.split('\n')];
        const head = before.findIndex((line, i) => line !== now[i]);
        const tail = before.toReversed().findIndex((line, i) => line !== now[now.length - 1 - i]);
        const changed = before.slice(head, before.length - tail).join('\n');
        const others = users.filter((other) => other !== user);
        assert.doesNotMatch(changed, /^(?:clusters|contexts|users|current-context|kind|---)/m, name);
        if (text.includes('\n  - name') || text.startsWith('{')) continue;
        for (const other of others) assert.ok(!changed.includes(`name: ${other}\n`), `${name}: ${other}`);
      }
    }
    assert.ok(replaced > 60, `${replaced}`);
    assert.ok(refused >= 1, `${refused}: one that others refer to`);
  });
});
