// `setup --dry-run`, `--output`, `--remove` and `--write-kuberc` through the program itself, and what the real kubectls make of it.

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { parse } from 'yaml';
import { run } from '../../scripts/run.ts';
import { ensureBinaries } from '../cluster/build.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { ensureOtherClients } from '../support/other_clients.ts';
import { credentialOf, type Desk, openDesk, refusalOf } from './desk.ts';

const MINE = `# mine
apiVersion: v1
kind: Config
clusters:
- {name: home, cluster: {server: "https://home.example.com"}}
users:
- name: home
  user: {token: hunter2} # do not show
contexts:
- name: home
  context: {cluster: home, user: home}
current-context: home
`;

/** All files beneath a folder, with what is in them. */
function filesIn(folder: string): Readonly<Record<string, string>> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));
  return Object.fromEntries(files.map((file) => [path.relative(folder, file), readFileSync(file, 'latin1')]));
}

describe('setup, with care', () => {
  let desk: Desk;
  let home: string;
  let kubeconfig: string;
  let env: Readonly<Record<string, string>>;
  let programs: string;
  before(async () => {
    desk = await openDesk();
    programs = path.join(desk.dir, 'programs');
    mkdirSync(programs);
    withKubectl('37');
  });
  beforeEach(() => {
    home = path.join(desk.dir, 'home');
    rmSync(home, { recursive: true, force: true });
    mkdirSync(path.join(home, '.kube'), { recursive: true, mode: 0o700 });
    kubeconfig = path.join(home, '.kube/config');
    writeFileSync(kubeconfig, MINE, { mode: 0o600 });
    env = {
      ...{
        HOME: home,
        KUBECONFIG: '',
        CURFEW_CONFIG_DIR: path.join(home, 'c'),
        CURFEW_CACHE_DIR: path.join(home, 'k'),
      },
      PATH: `${programs}:/usr/bin:/bin`,
    };
  });
  after(() => desk.stop());

  const setup = (...more: readonly string[]) =>
    desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file, ...more], env);
  const remove = (...more: readonly string[]) => desk.curfew(['setup', '--broker', desk.url, '--remove', ...more], env);
  const launcher = () => path.join(home, 'c/bin/kubectl-curfew');

  function withKubectl(minor: string) {
    const text = `#!/bin/sh\necho '{"clientVersion": {"minor": "${minor}", "gitVersion": "v1.${minor}.0"}}'\n`;
    writeFileSync(path.join(programs, 'kubectl'), text, { mode: 0o755 });
  }

  it('--dry-run shows what would change, without a secret, and changes nothing', async () => {
    const before = filesIn(home);
    const { code, stdout, stderr } = await setup('--dry-run', '--write-kuberc');
    assert.equal(code, 0, stderr);
    assert.deepEqual(filesIn(home), before);
    for (const file of [kubeconfig, `${home}/c/config.json`, `${home}/.kube/kuberc`])
      assert.match(stdout, new RegExp(`^--- ${file}\n\\+\\+\\+ ${file}\n@@ `, 'm'));
    assert.match(stdout, /^\+ {2}name: dev$/m);
    assert.match(stdout, new RegExp(`^\\+ +command: ${launcher()}$`, 'm'));
    assert.match(stdout, new RegExp(`^would write ${launcher()}$`, 'm'));
    assert.doesNotMatch(stdout, /hunter2|do not show/);
    assert.doesNotMatch(stdout, /^-[^-]/m, 'nothing of what is there goes');
    // What it said is what comes.
    assert.equal((await setup('--write-kuberc')).code, 0);
    const after = await setup('--dry-run', '--write-kuberc');
    assert.doesNotMatch(after.stdout, /^@@/m);
    const added = stdout
      .split('\n')
      .filter((line) => /^\+[^+]/.test(line))
      .map((line) => line.slice(1).trimEnd());
    const written = [kubeconfig, `${home}/c/config.json`, `${home}/.kube/kuberc`].map((file) =>
      readFileSync(file, 'utf8'),
    );
    const all = new Set(
      written
        .join('\n')
        .split('\n')
        .map((line) => line.trimEnd()),
    );
    const hidden = added.filter((line) => !all.has(line) && !/not shown|sha256/.test(line));
    assert.ok(added.length > 60);
    assert.deepEqual(hidden, []);
  });

  it('--remove takes away what setup wrote, and leaves the rest to the byte', async () => {
    const before = filesIn(home);
    assert.equal((await setup()).code, 0);
    assert.notDeepEqual(filesIn(home), before);
    const rehearsed = await remove('--dry-run');
    assert.match(rehearsed.stdout, /^- {2}name: dev$/m);
    assert.match(rehearsed.stdout, new RegExp(`^would remove ${launcher()}$`, 'm'));
    const { code, stdout, stderr } = await remove();
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^removed from ${kubeconfig}: dev, prod, vault$`, 'm'));
    const { '.config/curfew/folders.json': folders, ...left } = filesIn(home);
    assert.deepEqual(left, before);
    assert.deepEqual(JSON.parse(folders ?? ''), { folders: [] });
    assert.equal(existsSync(path.join(home, 'c')), false);
    const again = await remove();
    assert.deepEqual([again.code, again.stdout], [0, `nothing of ${desk.url} is set up here\n`]);
  });

  it('--remove keeps what is of another broker, settings of a person, and says that a session stays', async () => {
    assert.equal((await setup()).code, 0);
    const file = path.join(home, 'c/config.json');
    const settings = JSON.parse(readFileSync(file, 'utf8'));
    const other = 'https://other.example.com';
    const brokers = { ...settings.brokers, [other]: {} };
    const contexts = { ...settings.contexts, theirs: { broker: other, cluster: 'x' } };
    writeFileSync(file, JSON.stringify({ ...settings, flow: 'paste', brokers, contexts }), { mode: 0o600 });
    assert.equal((await desk.curfew(['login', '--flow', 'browser'], env)).code, 0);
    const { code, stdout, stderr } = await remove();
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^what stays:\n {2}your session at .*, until it ends: kubectl-curfew logout --broker .* --ca-file /m,
    );
    assert.equal(readFileSync(kubeconfig, 'utf8'), MINE);
    const left = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual(left, {
      ...{ flow: 'paste', brokers: { [other]: {} }, default: other },
      contexts: { theirs: { broker: other, cluster: 'x' } },
    });
    assert.ok(existsSync(launcher()), 'the other broker is asked by it');
    const out = await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file], env);
    assert.equal(out.code, 0, out.stderr);
  });

  it('--output writes a kubeconfig for itself and touches nothing else; what is there is not written over', async () => {
    const before = filesIn(home);
    const file = path.join(home, 'apart');
    const { code, stdout, stderr } = await setup('--output', file, '--cluster', 'dev');
    assert.equal(code, 0, stderr);
    const { apart, ...rest } = filesIn(home);
    assert.deepEqual(rest, before);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const { contexts, users, 'current-context': current } = parse(apart ?? '');
    assert.deepEqual([contexts.length, current, users[0].user.exec.command], [1, 'dev', launcher()]);
    assert.match(stdout, /^it works where that broker was set up: kubectl-curfew setup --broker /m);
    const again = await setup('--output', file);
    assert.equal(again.code, 78);
    assert.match(refusalOf(again).error, /is there already: name another file/);
    assert.equal(readFileSync(file, 'utf8'), apart);
    assert.equal((await setup('--output', file, '--remove')).code, 64);
    const rehearsed = await setup('--dry-run', '--output', path.join(home, 'other'));
    assert.match(rehearsed.stdout, /^\+current-context: dev$/m);
    assert.equal(existsSync(path.join(home, 'other')), false);
    assert.equal((await setup()).code, 0);
    const known = await setup('--output', path.join(home, 'more'));
    assert.doesNotMatch(known.stdout, /works where/);
  });

  it('prints the entry for kuberc at each kubectl that reads one, and none at others', async () => {
    const entry = async () => /^ {2}(- (?:name|command): .*)$/m.exec((await setup()).stdout)?.[1];
    assert.equal(await entry(), `- command: ${launcher()}`);
    withKubectl('35');
    assert.equal(await entry(), `- name: ${launcher()}`);
    withKubectl('34');
    assert.equal(await entry(), undefined);
    const told = await setup('--write-kuberc');
    assert.match(told.stdout, /^kuberc is not written: this kubectl reads no list/m);
    withKubectl('37');
    const off = await desk.curfew(['setup', '--broker', desk.url, '--write-kuberc'], { ...env, KUBERC: 'off' });
    assert.match(off.stdout, /^kuberc is not written: the environment says/m);
    assert.equal(existsSync(path.join(home, '.kube/kuberc')), false);
  });

  it('--write-kuberc makes a file of mode 0600 that names what kubeconfigs call already; --remove takes the entry on request', async () => {
    const aws =
      '- name: aws\n  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, interactiveMode: Never}}\n';
    writeFileSync(kubeconfig, MINE.replace('contexts:', `${aws}contexts:`));
    const file = path.join(home, '.kube/kuberc');
    const { stdout } = await setup('--write-kuberc');
    assert.match(
      stdout,
      /lets kubectl run this plugin, and what your kubeconfigs call already: aws; no others from now on$/m,
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const text = readFileSync(file, 'utf8');
    assert.deepEqual(parse(text).credentialPluginAllowlist, [{ command: launcher() }, { command: 'aws' }]);
    assert.equal((await setup('--write-kuberc')).code, 0);
    assert.equal(readFileSync(file, 'utf8'), text);
    assert.match((await remove()).stdout, /^ {2}the entry in .*kuberc, which --write-kuberc takes away too$/m);
    assert.equal(readFileSync(file, 'utf8'), text);
    assert.equal((await setup()).code, 0);
    assert.match((await remove('--write-kuberc')).stdout, /^ {2}credentialPluginPolicy in .*kuberc: other plugins$/m);
    assert.deepEqual(parse(readFileSync(file, 'utf8')).credentialPluginAllowlist, [{ command: 'aws' }]);
  });

  it('the real kubectls refuse the plugin before, and run it after', async () => {
    const authority = await createCertificateAuthority(path.join(desk.dir, 'api-ca'));
    const { certFile, keyFile } = await authority.issue({ name: 'api', hosts: ['127.0.0.1'] });
    const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    const asked: (string | undefined)[] = [];
    const server = createServer(tls, ({ headers }, response) => {
      asked.push(headers.authorization);
      response.end('ok');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const cluster = { server: `https://127.0.0.1:${port}`, ca_file: authority.caFile, allowed_groups: ['*'] };
      await desk.restartBroker({ clusters: [{ ...cluster, name: 'dev', audience: 'dev-audience' }] });
      const [{ kubectl: newest }, { kubectl: first }] = await Promise.all([
        ensureBinaries(undefined, ['kubectl']),
        ensureOtherClients(),
      ]);
      const kuberc = path.join(home, '.kube/kuberc');
      const before =
        '# mine\napiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\ncredentialPluginPolicy: Allowlist\n';
      rmSync(kubeconfig);
      for (const [kubectl, field] of [
        [first, 'name'],
        [newest, 'command'],
      ] as const) {
        rmSync(path.join(programs, 'kubectl'));
        symlinkSync(kubectl, path.join(programs, 'kubectl'));
        const theirs = `${before}credentialPluginAllowlist:\n- ${field}: /usr/bin/other\n`;
        writeFileSync(kuberc, theirs, { mode: 0o600 });
        assert.equal((await setup()).code, 0);
        assert.equal((await desk.curfew(['login', '--flow', 'browser'], env)).code, 0);
        const get = () => run(kubectl, ['get', '--raw', '/healthz'], { env: { ...desk.env, ...env }, timeout: 60_000 });
        const refused = await get();
        assert.notEqual(refused.code, 0);
        assert.match(refused.stderr, /not allowed|allowlist/i);
        assert.deepEqual(asked, []);
        const { stdout } = await setup('--write-kuberc');
        assert.match(stdout, new RegExp(`^${kuberc} lets kubectl run this plugin$`, 'm'));
        assert.equal(readFileSync(kuberc, 'utf8'), `${theirs}- ${field}: ${launcher()}\n`);
        const { code, stdout: said, stderr } = await get();
        assert.deepEqual([code, said], [0, 'ok'], stderr);
        const token = credentialOf(await desk.getToken('dev', false, { env })).token;
        assert.deepEqual(asked.splice(0), [`Bearer ${token}`]);
        assert.equal((await remove('--write-kuberc')).code, 0);
        assert.equal(readFileSync(kuberc, 'utf8'), theirs);
        await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file], env);
      }
    } finally {
      server.close();
      withoutLink();
    }
  });

  function withoutLink() {
    rmSync(path.join(programs, 'kubectl'), { force: true });
    withKubectl('37');
  }
});
