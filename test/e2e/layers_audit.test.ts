// `curfew-broker layers audit --kubeconfig` at a real kube-apiserver: it sees what is there with the least rights that it prints itself,
// which do not reach Secrets, and says what others do not let it see.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { writeBrokerConfig } from '../broker/layers_config.ts';
import { textOf } from '../broker/manifest_corpus.ts';
import { temporaryFolder } from '../cli/host.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { until } from '../support/patience.ts';

let plane: ControlPlane;
let folder: string;
let broker: string;

before(async () => {
  folder = temporaryFolder('layers-live');
  writeBrokerConfig(path.join(folder, 'curfew-broker.yaml'));
  ({ broker } = await buildBundles());
  plane = await startControlPlane();
});
after(() => plane?.stop());

const kubectl = async (args: readonly string[], input?: string) => {
  const { code, stdout, stderr } = await plane.adminKubectl(args, input === undefined ? {} : { input });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
};

const curfew = (...words: readonly string[]) =>
  run(process.execPath, [broker, 'layers', 'audit', ...words], { cwd: folder, env: { PATH: process.env.PATH ?? '' } });

interface Told {
  readonly findings: readonly { readonly name: string; readonly file: string; readonly object?: string }[];
  readonly warnings: readonly string[];
}

async function audit(kubeconfig: string): Promise<Told & { readonly code: number | null }> {
  const words = ['--config', 'curfew-broker.yaml', '--cluster', 'prod', '--kubeconfig', kubeconfig, '-o', 'json'];
  const { code, stdout, stderr } = await curfew(...words);
  assert.equal(stderr, '');
  return { code, ...(JSON.parse(stdout) as Told) };
}

function kubeconfigWith(name: string, token: string): string {
  const config = parse(readFileSync(plane.adminKubeconfig, 'utf8'));
  config.users[0].user = { token };
  const file = path.join(folder, name);
  writeFileSync(file, stringify(config), { mode: 0o600 });
  return file;
}

test('what is in a cluster is found with the printed rights, which leave Secrets alone, and what others hide is said', async () => {
  await kubectl(['create', 'namespace', 'shop']);
  await kubectl(['apply', '-f', '-'], textOf('idle_an_hour.yaml'));
  await kubectl(['apply', '-f', '-'], textOf('door_node_port.yaml'));
  const rbac = await curfew('--print-rbac');
  assert.deepEqual([rbac.code, rbac.stderr], [0, '']);
  await kubectl(['apply', '-f', '-'], rbac.stdout);
  const TOKEN = ['create', 'token', 'curfew-layers-audit', '--namespace', 'curfew-layers-audit', '--duration', '10m'];
  const least = kubeconfigWith('least', (await kubectl(TOKEN)).trim());
  // Rights that were just given are not at once seen by every part of kube-apiserver.
  let seen = await audit(least);
  await until(async () => {
    seen = await audit(least);
    return seen.warnings.length === 0;
  }, 'the printed rights let it see everything');
  assert.equal(seen.code, 1);
  const names = seen.findings.map(({ name, object }) => `${name} ${object}`);
  assert.deepEqual(names, [
    'idle_too_long Ingress shop/grpc',
    'idle_too_long Ingress shop/grpc',
    'side_door Service shop/web',
  ]);
  for (const { file } of seen.findings) assert.ok(file.startsWith(`${plane.server}/`), file);
  for (const [verb, what] of [
    ['list', 'secrets'],
    ['get', 'configmaps'],
    ['create', 'ingresses'],
    ['list', 'roles'],
  ] as const) {
    const asked = [
      'auth',
      'can-i',
      verb,
      what,
      '--as',
      'system:serviceaccount:curfew-layers-audit:curfew-layers-audit',
    ];
    const { stdout } = await plane.adminKubectl([...asked, '--all-namespaces'], {});
    assert.equal(stdout.trim(), 'no', `${verb} ${what}`);
  }
  await kubectl(['create', 'serviceaccount', 'nobody', '--namespace', 'shop']);
  const nobody = kubeconfigWith('nobody', (await kubectl(['create', 'token', 'nobody', '--namespace', 'shop'])).trim());
  const words = ['--config', 'curfew-broker.yaml', '--cluster', 'prod', '--kubeconfig', nobody];
  const blind = await curfew(...words);
  assert.equal(blind.code, 78, blind.stdout);
  await kubectl(['create', 'clusterrole', 'some', '--verb=list', '--resource=ingresses.networking.k8s.io']);
  await kubectl(['create', 'clusterrolebinding', 'some', '--clusterrole=some', '--serviceaccount=shop:nobody']);
  let some: Told = { findings: [], warnings: [] };
  await until(async () => {
    const one = await curfew(...words, '-o', 'json');
    if (one.code === 1) some = JSON.parse(one.stdout);
    return one.code === 1;
  }, 'ingresses are seen');
  assert.match(some.warnings.join('\n'), /not seen: services: HTTP 403: see curfew-broker layers audit --print-rbac/);
  assert.doesNotMatch(some.warnings.join('\n'), /ingresses/);
});
