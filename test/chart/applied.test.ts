// What the chart makes, at a real API server: taken with strict validation under the strictest pod security, and over what an earlier
// release made.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { stringify } from 'yaml';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { until } from '../support/patience.ts';
import { EXAMPLES, type Manifest, objectsIn, render, valuesOf } from './render.ts';

const RELEASED = path.join(import.meta.dirname, 'released/0.5.0');
const EVERYTHING = path.join(import.meta.dirname, 'everything.values.yaml');

const NAMESPACE = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: {
    name: 'curfew',
    labels: Object.fromEntries(['enforce', 'warn'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted'])),
  },
};

let plane: ControlPlane;
let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-chart-'));
  plane = await startControlPlane();
  const definitions = await readFile(path.join(import.meta.dirname, 'service_monitors.yaml'), 'utf8');
  await kubectl(['apply', '-f', '-'], `${stringify(NAMESPACE)}---\n${definitions}`);
  await kubectl(['wait', '--for=condition=Established', 'crd/servicemonitors.monitoring.coreos.com', '--timeout=60s']);
  // Established is said before it is served.
  const served = async () => (await plane.adminKubectl(['get', 'servicemonitors', '-n', 'curfew'])).code === 0;
  await until(served, 'ServiceMonitors are not served');
});
after(async () => {
  await plane?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function kubectl(args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await plane.adminKubectl(args, { input });
  assert.equal(code, 0, `kubectl ${args.join(' ')}\n${stderr}`);
  assert.doesNotMatch(stderr, /Warning/);
  return stdout;
}

const APPLY = ['apply', '--server-side', '--validate=strict', '-f', '-'];
const DRY = [...APPLY, '--dry-run=server'];

async function rendered(...files: readonly string[]): Promise<readonly Manifest[]> {
  const { code, yaml, said } = await render(files);
  assert.equal(code, 0, said);
  return objectsIn(yaml);
}

const asText = (objects: readonly unknown[]) => objects.map((object) => stringify(object)).join('---\n');
const nameOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`;

/** What a Deployment or a Job would make: only a pod is refused by pod security. */
const podsOf = (objects: readonly Manifest[]) =>
  objects.flatMap(({ metadata, spec }) => {
    const template = spec?.template as { metadata: object; spec: { serviceAccountName?: string } } | undefined;
    return template
      ? [{ apiVersion: 'v1', kind: 'Pod', ...template, metadata: { ...template.metadata, ...metadata } }]
      : [];
  });

for (const file of [...EXAMPLES.map(valuesOf), EVERYTHING])
  test(`${path.basename(file)}: the API server takes all of it, and its pods where pods are restricted`, async () => {
    const objects = await rendered(file);
    const said = await kubectl(DRY, asText(objects));
    assert.equal(said.trim().split('\n').length, objects.length, said);
    const pods = podsOf(objects);
    assert.ok(pods.length > 0);
    await kubectl(DRY, asText(pods));
  });

test('what pod security or validation refuses is seen: a pod that may run as root, a field that does not exist', async () => {
  const objects = await rendered(valuesOf('gateway'));
  const [pod] = podsOf(objects);
  const asRoot = structuredClone(pod) as unknown as {
    spec: { securityContext: { runAsNonRoot: boolean; runAsUser: number } };
  };
  asRoot.spec.securityContext.runAsNonRoot = false;
  asRoot.spec.securityContext.runAsUser = 0;
  const refused = await plane.adminKubectl(DRY, { input: stringify(asRoot) });
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /violates PodSecurity "restricted/);
  const unknown = objects.map((object) =>
    object.kind === 'NetworkPolicy' ? { ...object, spec: { ...object.spec, ports: [] } } : object,
  );
  const unread = await plane.adminKubectl(DRY, { input: asText(unknown) });
  assert.notEqual(unread.code, 0);
  assert.match(unread.stderr, /\.spec\.ports: field not declared in schema|unknown field "spec\.ports"/);
});

test('what 0.5.0 made is upgraded in place: the same objects, and no field that cannot be changed', async () => {
  const before = objectsIn(await readFile(path.join(RELEASED, 'rendered.yaml'), 'utf8'));
  const now = await rendered(path.join(RELEASED, 'values.yaml'));
  const gone = before.map(nameOf).filter((name) => !now.some((object) => nameOf(object) === name));
  assert.deepEqual(gone, [], 'objects of the earlier release are not there any more');
  // Jobs are hooks: helm deletes the old one first.
  const staying = (objects: readonly Manifest[]) => objects.filter(({ kind }) => kind !== 'Job');
  await kubectl(APPLY, asText(staying(before)));
  await kubectl(DRY, asText(staying(now)));
  const claim = now.find(({ kind }) => kind === 'PersistentVolumeClaim');
  assert.equal(claim?.metadata.annotations?.['helm.sh/resource-policy'], 'keep');
  // A selector cannot be changed: an upgrade that would is refused here as there.
  const other = staying(now).map((object) =>
    object.kind === 'Deployment'
      ? (JSON.parse(
          JSON.stringify(object).replaceAll(
            '"app.kubernetes.io/instance":"curfew"',
            '"app.kubernetes.io/instance":"b"',
          ),
        ) as Manifest)
      : object,
  );
  const refused = await plane.adminKubectl(DRY, { input: asText(other) });
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /field is immutable/);
});
