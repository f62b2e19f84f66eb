// `setup` and the person's kubeconfig: what it writes, what it keeps, and whose locks and links it honours.

import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, describe, it } from 'node:test';
import { parse } from 'yaml';
import { quote } from '../../cli/host/launcher.ts';
import { editKubeconfig, kubeconfigFile } from '../../cli/kubeconfig/kubeconfig.ts';
import type { KubeconfigText } from '../../cli/kubeconfig/text.ts';
import { run } from '../../scripts/run.ts';
import { INSTANT, localTime } from '../support/local_time.ts';
import { credentialOf, type Desk, execInfo, openDesk, refusalOf } from './desk.ts';
import { temporaryFolder, testHost } from './host.ts';

const EXISTING = `# my clusters
apiVersion: v1
kind: Config
preferences: {}
clusters:
- cluster:
    server: https://old.example.com # do not touch
    x-unknown: [1, 2]
  name: dev
- cluster: {server: https://home.example.com}
  name: home
users:
- name: old
  user:
    token: "0123"
contexts:
- context:
    cluster: dev
    user: old
    namespace: team-a
  name: dev
# the end
current-context: dev
x-future: keep me
`;

describe('setup', () => {
  let desk: Desk;
  let file: string;
  before(async () => {
    desk = await openDesk();
    file = `${desk.dir}/kubeconfig`;
  });
  beforeEach(() => rmSync(file, { force: true }));
  after(() => desk.stop());
  const setup = (more: readonly string[] = [], env = {}) =>
    desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file, ...more], env);
  const read = () => parse(readFileSync(file, 'utf8'));

  it('writes the address and authority of the gateway where a cluster has one, also over its own of before', async () => {
    const addressOf = (name: string) => read().clusters.find((entry: { name: string }) => entry.name === name).cluster;
    assert.equal((await setup()).code, 0);
    assert.equal(addressOf('dev').server, 'https://127.0.0.1:6443');
    writeFileSync(`${desk.dir}/gateway-token`, Buffer.alloc(32, 5).toString('base64'), { mode: 0o600 });
    const cluster = (name: string, more = {}) => ({
      ...{ name, server: 'https://127.0.0.1:6443', ca_file: desk.ca_file, audience: `${name}-audience` },
      ...{ allowed_groups: ['*'], ...more },
    });
    const gateway = { url: 'https://gw.example.com:8443', token_file: 'gateway-token' };
    await desk.restartBroker({ clusters: [cluster('dev', { gateway }), cluster('prod'), cluster('vault')] });
    assert.equal((await setup()).code, 0);
    const moved = { server: 'https://gw.example.com:8443', 'certificate-authority-data': '' };
    assert.deepEqual(addressOf('dev'), moved, "nothing of the API server's authority is left");
    assert.equal((await setup()).code, 0);
    assert.deepEqual(addressOf('dev'), moved);
    assert.equal(addressOf('prod').server, 'https://127.0.0.1:6443');
    const with_ca = { ...gateway, ca_file: desk.ca_file };
    await desk.restartBroker({ clusters: [cluster('dev', { gateway: with_ca }), cluster('prod'), cluster('vault')] });
    assert.equal((await setup()).code, 0);
    const authority = Buffer.from(addressOf('dev')['certificate-authority-data'], 'base64').toString();
    assert.equal(authority, readFileSync(desk.ca_file, 'utf8'));
    await desk.restartBroker();
  });

  it('writes clusters, users and contexts into a new file of mode 0600, and makes the first current', async () => {
    const result = await setup();
    assert.equal(result.code, 0, result.stderr);
    const config = read();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(
      config.contexts.map(({ name }: { name: string }) => name),
      ['dev', 'prod', 'vault'],
    );
    assert.equal(config['current-context'], 'dev');
    const { exec } = config.users[0].user;
    assert.equal(exec.apiVersion, 'client.authentication.k8s.io/v1');
    assert.equal(exec.interactiveMode, 'IfAvailable');
    assert.equal(exec.provideClusterInfo, false);
    assert.deepEqual(exec.args, ['get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file]);
    assert.equal(exec.command, `${desk.dir}/config/bin/kubectl-curfew`);
    assert.match(result.stdout, /^next:\n {2}kubectl get pods$/m);
  });

  it('a second time changes nothing', async () => {
    await setup();
    const before = readFileSync(file, 'utf8');
    assert.equal((await setup()).code, 0);
    assert.equal(readFileSync(file, 'utf8'), before);
  });

  it('keeps comments, order, unknown fields and what is not ours; says where a name was taken', async () => {
    writeFileSync(file, EXISTING, { mode: 0o640 });
    const result = await setup();
    assert.equal(result.code, 0, result.stderr);
    const text = readFileSync(file, 'utf8');
    const lines = text.split('\n');
    for (const line of EXISTING.split('\n')) assert.ok(lines.includes(line), line);
    const kept = lines.filter((line) => EXISTING.split('\n').includes(line) && line.trim() !== '');
    assert.deepEqual(
      kept.filter((line) => /^[a-z#]/.test(line)),
      EXISTING.split('\n').filter((line) => /^[a-z#]/.test(line)),
    );
    assert.equal(statSync(file).mode & 0o777, 0o640);
    const config = read();
    assert.equal(config['current-context'], 'dev');
    assert.equal(config.clusters[0].cluster.server, 'https://old.example.com');
    assert.deepEqual(
      config.contexts.map(({ name }: { name: string }) => name),
      ['dev', 'curfew-dev', 'prod', 'vault'],
    );
    assert.match(
      result.stdout,
      /context curfew-dev for the cluster dev: the name dev is used there for something else/,
    );
    assert.match(result.stdout, /kubectl config use-context curfew-dev/);
  });

  it('keeps what the person added to our own entries', async () => {
    await setup();
    const added = readFileSync(file, 'utf8').replace(
      '    cluster: dev\n',
      '    cluster: dev\n    namespace: team-a # mine\n',
    );
    writeFileSync(file, added);
    assert.equal((await setup(['--max-age', '10m'])).code, 0);
    assert.match(readFileSync(file, 'utf8'), /namespace: team-a # mine/);
    assert.deepEqual(read().users[0].user.exec.args.slice(5, 7), ['--max-age', '10m']);
  });

  it('takes only the clusters named, and refuses one that the broker does not have', async () => {
    assert.equal((await setup(['--cluster', 'prod'])).code, 0);
    assert.deepEqual(
      read().contexts.map(({ name }: { name: string }) => name),
      ['prod'],
    );
    const result = await setup(['--cluster', 'nowhere']);
    assert.equal(result.code, 78);
    assert.match(refusalOf(result).hint, /dev, prod, vault/);
  });

  it('writes where kubectl config would', async () => {
    const [one, two] = [`${desk.dir}/one`, `${desk.dir}/two`];
    writeFileSync(two, EXISTING);
    assert.equal((await setup([], { KUBECONFIG: `${one}:${two}` })).code, 0);
    assert.ok(!existsSync(one) && /curfew-dev/.test(readFileSync(two, 'utf8')));
    rmSync(two);
    assert.equal((await setup([], { KUBECONFIG: `${one}::${two}` })).code, 0);
    assert.ok(!existsSync(one) && existsSync(two));
    assert.equal((await setup([], { KUBECONFIG: undefined })).code, 0);
    assert.ok(existsSync(`${desk.dir}/.kube/config`));
    assert.equal((await setup(['--kubeconfig', one])).code, 0);
    assert.ok(existsSync(one));
    assert.equal(kubeconfigFile(testHost({ KUBECONFIG: '' }), undefined).endsWith('/.kube/config'), true);
  });

  it('writes a launcher that kubectl can run from anywhere, whatever the paths are', async () => {
    const dir = `${desk.dir}/a 'quoted' $(dir)`;
    mkdirSync(dir);
    assert.equal((await setup([], { CURFEW_CONFIG_DIR: dir })).code, 0);
    const { command, args } = read().users[0].user.exec;
    const env = {
      ...localTime(),
      HOME: desk.dir,
      CURFEW_CONFIG_DIR: dir,
      KUBERNETES_EXEC_INFO: execInfo(true),
      BROWSER: desk.browser.command,
    };
    credentialOf(await run(command, args, { env, cwd: '/' }));
    const { stdout } = await run('sh', ['-c', `printf %s ${quote("it's $HOME `x` \\")}`]);
    assert.equal(stdout, "it's $HOME `x` \\");
  });

  it('remembers broker and ca_file, so that commands need no flags', async () => {
    await setup();
    const result = await desk.curfew(['login']);
    assert.equal(result.code, 0, result.stderr);
    assert.match(
      result.stdout,
      new RegExp(`^logged in as curfew:alice@example.com for 1h, until ${INSTANT}; 30m without use end it earlier\n$`),
    );
    const refused = await desk.getToken('vault', false);
    assert.equal(refusalOf(refused).hint, 'run: kubectl curfew login --cluster vault');
  });

  it('refuses a file that is not a kubeconfig, and leaves it as it is', async () => {
    for (const text of ['- a\n- b\n', 'clusters: {a: b}\n', 'a: [\n']) {
      writeFileSync(file, text);
      const result = await setup();
      assert.equal(result.code, 78);
      assert.match(refusalOf(result).error, /kubeconfig/);
      assert.equal(readFileSync(file, 'utf8'), text);
      assert.deepEqual(
        readdirSync(desk.dir).filter((name) => /lock$|tmp$/.test(name)),
        [],
      );
    }
  });
});

describe('the kubeconfig file', () => {
  const dir = temporaryFolder('kubeconfig');
  const file = `${dir}/config`;
  const touch = (config: KubeconfigText) => config.set('contexts', 'touched', { context: { cluster: 'a', user: 'b' } });

  it("is not written while kubectl's own lock is held, then is", async () => {
    writeFileSync(file, EXISTING);
    writeFileSync(`${file}.lock`, '');
    const editing = editKubeconfig(testHost(), file, touch);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(readFileSync(file, 'utf8'), EXISTING);
    rmSync(`${file}.lock`);
    await editing;
    assert.match(readFileSync(file, 'utf8'), /name: touched/);
    assert.ok(!existsSync(`${file}.lock`));
  });

  it('that stays locked is refused within some seconds, and the lock is left to its owner', async () => {
    writeFileSync(`${file}.lock`, '');
    await assert.rejects(editKubeconfig(testHost(), file, touch), { code: 'busy', hint: /remove .*config\.lock/ });
    assert.ok(existsSync(`${file}.lock`));
    rmSync(`${file}.lock`);
  });

  it('that is a symbolic link stays one, and its target is written with its mode', async () => {
    const [real, link] = [`${dir}/real`, `${dir}/link`];
    writeFileSync(real, EXISTING);
    chmodSync(real, 0o600);
    symlinkSync(real, link);
    await editKubeconfig(testHost(), link, touch);
    assert.ok(lstatSync(link).isSymbolicLink());
    assert.match(readFileSync(real, 'utf8'), /name: touched/);
    assert.equal(statSync(real).mode & 0o777, 0o600);
  });

  it('written as JSON stays JSON', async () => {
    writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: [], users: null, contexts: [] }));
    await editKubeconfig(testHost(), file, touch);
    assert.equal(JSON.parse(readFileSync(file, 'utf8')).contexts[0].name, 'touched');
  });
});
