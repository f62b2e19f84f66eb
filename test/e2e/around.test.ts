// `curfew-broker check --kubeconfig` at a real kube-apiserver: what goes around sessions there is named, with the least rights that it
// prints itself, and what those do not let it see is said.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { makeConfigFiles, SETTINGS } from '../broker/config_files.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { blocks } from '../docs/documents.ts';
import { until } from '../support/patience.ts';

/** More than fit on one page. */
const MANY = 510;

/** What stands in the page for a name. */
const REAL: Readonly<Record<string, string>> = {
  ...{ SECRET: 'token-7', NAMESPACE: 'apps', SERVICEACCOUNT: 'deployer', BINDING: 'bob' },
};

const TOKEN = ['create', 'token', 'curfew-check', '--namespace', 'curfew-check', '--duration', '10m'];

let plane: ControlPlane;
let folder: string;
let broker: string;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'curfew-around-'));
  const { files } = await makeConfigFiles();
  for (const [name, file] of Object.entries(files)) {
    const { text, mode = 0o600 } = typeof file === 'string' ? { text: file } : file;
    writeFileSync(path.join(folder, name), text, { mode });
  }
  ({ broker } = await buildBundles());
  plane = await startControlPlane();
  const [, dev] = SETTINGS.clusters;
  writeFileSync(
    path.join(folder, 'config.yaml'),
    stringify({ ...SETTINGS, clusters: [{ ...dev, server: plane.server }] }),
  );
});
after(async () => {
  await plane?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const kubectl = async (args: readonly string[], input?: string) => {
  const { code, stdout, stderr } = await plane.adminKubectl(args, input === undefined ? {} : { input });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
};

/** @returns the lines of what was found, without `warning: cluster dev: ` */
async function check(kubeconfig: string): Promise<{ code: number; found: string[]; stdout: string }> {
  const args = [broker, 'check', '--config', path.join(folder, 'config.yaml'), '--kubeconfig', kubeconfig];
  const { code, stdout, stderr } = await run(process.execPath, args, { env: { PATH: process.env.PATH ?? '' } });
  assert.equal(stderr, '');
  const lines = stdout.trimEnd().split('\n');
  const found = lines
    .filter((line) => line.startsWith('warning: '))
    .map((line) => line.replace('warning: cluster dev: ', ''));
  return { code: code ?? -1, found, stdout };
}

function kubeconfigWith(name: string, token: string): string {
  const config = parse(readFileSync(plane.adminKubeconfig, 'utf8'));
  const [user] = config.users;
  user.user = { token };
  const file = path.join(folder, name);
  writeFileSync(file, stringify(config), { mode: 0o600 });
  return file;
}

test('a new cluster has what its own start brought, and nothing of what kube-apiserver binds by itself', async () => {
  const { code, found, stdout } = await check(plane.adminKubeconfig);
  assert.equal(code, 1);
  assert.deepEqual(
    found.map((line) => line.split(':')[0]),
    ['token_auth_file', 'anonymous_requests', 'no_webhook', 'no_gateway'],
  );
  assert.match(stdout, /^note: token_auth_file: kube-apiserver has a file of static tokens/m);
});

test('people by other ways, accounts that may do everything, and tokens without an end are named, page after page', async () => {
  await kubectl(['create', 'namespace', 'apps']);
  await kubectl(['create', 'serviceaccount', 'deployer', '-n', 'apps']);
  await kubectl([
    'create',
    'clusterrolebinding',
    'deployer',
    '--clusterrole=cluster-admin',
    '--serviceaccount=apps:deployer',
  ]);
  await kubectl(['create', 'clusterrolebinding', 'bob', '--clusterrole=view', '--user=bob']);
  await kubectl(['create', 'clusterrolebinding', 'ours', '--clusterrole=cluster-admin', '--group=curfew:sre']);
  await kubectl([
    'create',
    'rolebinding',
    'everybody',
    '-n',
    'apps',
    '--clusterrole=edit',
    '--group=system:unauthenticated',
  ]);
  const secret = (name: string, type: string, annotations = {}, stringData = {}) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', type, metadata: { name, namespace: 'apps', annotations }, stringData },
  });
  const account = { 'kubernetes.io/service-account.name': 'deployer' };
  const many = Array.from({ length: MANY }, (_, i) =>
    secret(`token-${i}`, 'kubernetes.io/service-account-token', account, { token: 'CANARY' }),
  );
  const more = [secret('plain', 'Opaque', {}, { password: 'CANARY' }), secret('boot', 'bootstrap.kubernetes.io/token')];
  await kubectl(['create', '-f', '-'], stringify({ apiVersion: 'v1', kind: 'List', items: [...many, ...more] }));

  const { code, found, stdout } = await check(plane.adminKubeconfig);
  assert.equal(code, 1);
  const of = (name: string) =>
    found.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
  assert.deepEqual(of('cluster_admin_service_account'), [
    'apps/deployer by clusterrolebinding deployer (cluster-admin)',
  ]);
  assert.deepEqual(of('foreign_subject'), ['user bob by clusterrolebinding bob (view)']);
  assert.deepEqual(of('anonymous_rights'), ['system:unauthenticated by rolebinding apps/everybody (edit)']);
  assert.equal(new Set(of('token_secret')).size, MANY);
  assert.ok(of('token_secret').includes('apps/token-7 of ServiceAccount deployer'));
  assert.deepEqual(of('bootstrap_token'), ['apps/boot']);
  assert.deepEqual(of('not_seen'), []);
  assert.doesNotMatch(stdout, /CANARY|curfew:sre/);
});

test('the page on it shows the commands that are run here', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/audit.md'), 'utf8');
  const lines = blocks(page, 'sh').flatMap((block) => block.trim().split('\n'));
  const others = lines.filter((line) => !line.startsWith('kubectl curfew '));
  assert.deepEqual(others, [
    'curfew-broker check --config curfew-broker.yaml --kubeconfig admin.kubeconfig',
    'curfew-broker print check-rbac | kubectl apply -f -',
    `kubectl ${TOKEN.join(' ')}`,
  ]);
});

test('the rights that it prints are enough, and each is needed: what it may not see it says', async () => {
  const printed = await run(process.execPath, [broker, 'print', 'check-rbac']);
  assert.equal(printed.code, 0, printed.stderr);
  await kubectl(['apply', '-f', '-'], printed.stdout);
  const token = (await kubectl(TOKEN)).trim();
  const file = kubeconfigWith('least', token);
  const named = async () => [...new Set((await check(file)).found.map((line) => line.split(':')[0]))];
  const whole = [...new Set((await check(plane.adminKubeconfig)).found.map((line) => line.split(':')[0]))];
  await until(async () => (await named()).every((name) => name !== 'not_seen'), 'the rights count');
  assert.deepEqual(await named(), whole);

  const objects = parseAllDocuments(printed.stdout).map((document) => document.toJS());
  const role = objects.find(({ kind }) => kind === 'ClusterRole');
  const lacking: string[] = [];
  for (const [i, rule] of role.rules.entries()) {
    const fewer = { ...role, rules: role.rules.filter((_: unknown, j: number) => j !== i) };
    await kubectl(['replace', '-f', '-'], stringify(fewer));
    const lacks = async () => (await check(file)).found.some((line) => line.startsWith('not_seen: '));
    await until(lacks, 'the right is gone');
    const { code, found } = await check(file);
    assert.equal(code, 1);
    const unseen = found.filter((line) => line.startsWith('not_seen: ')).join('\n');
    lacking.push(unseen);
    for (const word of rule.resources ?? ['/flagz'])
      assert.match(unseen, new RegExp(word === 'secrets' ? 'token Secrets' : word));
    await kubectl(['replace', '-f', '-'], stringify(role));
    await until(async () => !(await lacks()), 'the right is back');
  }
  assert.equal(lacking.length, 3);
  const fewer = await run(process.execPath, [broker, 'print', 'check-rbac', '--without-secrets']);
  assert.doesNotMatch(fewer.stdout.replace(/^#.*$/gm, ''), /secrets/);
});

test('the kubectl commands of the page on migration do what it says, and the check sees it', async () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/migration.md'), 'utf8');
  const lines = blocks(page, 'sh').flatMap((block) => block.trim().split('\n'));
  const commands = lines.filter((line) => line.startsWith('kubectl ') && !line.startsWith('kubectl curfew '));
  assert.ok(commands.length >= 5);
  const outputs: Record<string, string> = {};
  for (const line of commands) {
    const words = line.split(' ').slice(1);
    const real = words.map((word) => REAL[word] ?? word);
    outputs[words.slice(0, 2).join(' ')] = await kubectl(real);
  }
  assert.match(outputs['get secrets'] ?? '', /^apps +token-7 /m);
  assert.match(outputs['delete secret'] ?? '', /"token-7" deleted/);
  assert.match(outputs['create token'] ?? '', /^eyJ/);
  assert.match(outputs['get clusterrolebindings'] ?? '', /^bob .*\bbob\b/m);
  const { found } = await check(plane.adminKubeconfig);
  assert.ok(!found.some((line) => /token-7 |user bob/.test(line)));
});

test('a token that may do nothing is told what it did not see, not that nothing is there', async () => {
  await kubectl(['create', 'serviceaccount', 'plain', '-n', 'apps']);
  const file = kubeconfigWith('nothing', (await kubectl(['create', 'token', 'plain', '-n', 'apps'])).trim());
  const { code, found, stdout } = await check(file);
  assert.equal(code, 1);
  const unseen = found.filter((line) => line.startsWith('not_seen: '));
  assert.equal(unseen.length, 6, stdout);
  assert.doesNotMatch(stdout, /nothing goes around/);
});

test('a token that is not taken is an error, exit 69, without the token', async () => {
  const { code, stdout } = await check(kubeconfigWith('wrong', 'CANARY'));
  assert.equal(code, 69);
  assert.match(stdout, /^error: the API server at \S+ does not take the credential of this kubeconfig \(HTTP 401\)$/m);
  assert.doesNotMatch(stdout, /CANARY/);
});
