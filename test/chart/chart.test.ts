// The chart as helm renders it: what it refuses and in which words, its versions, and the plain manifests that are made of it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import {
  CHART,
  type Changes,
  EXAMPLES,
  type Manifest,
  manifests,
  manifestsOf,
  objectsIn,
  packageVersion,
  render,
  valuesOf,
} from './render.ts';

const SQLITE = valuesOf('broker-on-sqlite');
const POSTGRES = valuesOf('broker-on-postgres');
const EVERYTHING = path.join(import.meta.dirname, 'everything.values.yaml');

test('the chart has the version of the package, and installs the image of it', async () => {
  const version = await packageVersion();
  const chart = parse(await readFile(path.join(CHART, 'Chart.yaml'), 'utf8')) as Record<string, string>;
  assert.equal(chart.version, version);
  assert.equal(chart.appVersion, version);
  const { yaml } = await render([SQLITE]);
  const images = new Set([...yaml.matchAll(/image: (\S+)/g)].map(([, image]) => image));
  assert.deepEqual([...images], [`registry.example.com/curfew:${version}`]);
});

for (const example of EXAMPLES)
  test(`deploy/manifests/${example}.yaml is what the chart makes of its values`, async () => {
    assert.equal(
      await readFile(manifestsOf(example), 'utf8'),
      await manifests(example),
      'write them again: node test/chart/render.ts',
    );
  });

const REFUSALS: readonly (readonly [string, string, Changes, RegExp])[] = [
  ['a file with two brokers', SQLITE, { 'broker.replicas': 2 }, /a file is served by one broker\. For more replicas/],
  ['PostgreSQL without a URL', POSTGRES, { 'broker.store.postgres.secret': '' }, /broker\.store\.postgres\.secret is/],
  ['nothing to install', SQLITE, { 'broker.enabled': false }, /there is nothing to install/],
  ['no place of the image', SQLITE, { 'image.repository': '' }, /image\.repository is required/],
  ['no certificate', SQLITE, { 'broker.tlsSecret': '' }, /broker\.tlsSecret is required/],
  ['no encryption key', SQLITE, { 'broker.encryptionKey.secret': '' }, /openssl rand -base64 32/],
  ['no settings', SQLITE, { 'broker.config': null }, /'\/broker': missing property 'config'/],
  ['settings without an issuer', SQLITE, { 'broker.config.issuer': null }, /broker\.config is required/],
  [
    'a listener of theirs',
    SQLITE,
    { 'broker.config.listen': { port: 1 } },
    /broker\.config\.listen is the chart's own/,
  ],
  ['metrics of theirs', SQLITE, { 'broker.config.metrics': { port: 1 } }, /broker\.config\.metrics is the chart's own/],
  ['a store of theirs', SQLITE, { 'broker.config.store': {} }, /use broker\.store/],
  [
    'a key of theirs',
    SQLITE,
    { 'broker.config.keys': { encryption_key_env: 'KEY' } },
    /broker\.config\.keys\.encryption_key_env is the chart's own/,
  ],
  ['nobody who may reach it', SQLITE, { 'broker.ingressFrom': [] }, /broker\.ingressFrom is required/],
  ['nothing that it may reach', SQLITE, { 'broker.egressTo': [] }, /broker\.egressTo is required/],
  ['a gateway of no cluster', valuesOf('gateway'), { 'gateway.config.cluster': null }, /gateway\.config is required/],
  ['a gateway without a token', valuesOf('gateway'), { 'gateway.token.secret': '' }, /gateway\.token\.secret is/],
  [
    'a token of theirs',
    valuesOf('gateway'),
    { 'gateway.config.broker.token_file': 'a' },
    /gateway\.config\.broker\.token_file is the chart's own/,
  ],
  ['nothing the gateway may reach', valuesOf('gateway'), { 'gateway.egressTo': [] }, /gateway\.egressTo is required/],
  // by the schema
  ['an unknown value', SQLITE, { replicas: 2 }, /additional properties 'replicas' not allowed/],
  ['an unknown value of the broker', SQLITE, { 'broker.image': 'a' }, /additional properties 'image' not allowed/],
  ['an unknown store', SQLITE, { 'broker.store.kind': 'mysql' }, /'\/broker\/store\/kind': value must be one of/],
  ['no broker at all', SQLITE, { 'broker.replicas': 0 }, /'\/broker\/replicas': minimum: got 0, want 1/],
  ['replicas in words', SQLITE, { 'broker.replicas': 'two' }, /'\/broker\/replicas': got string, want integer/],
  ['a digest that is none', SQLITE, { 'image.digest': 'sha256:1' }, /'\/image\/digest': .* does not match pattern/],
  ['a key in the values', SQLITE, { 'broker.encryptionKey.value': 'a' }, /additional properties 'value' not allowed/],
  ['a port that is none', SQLITE, { 'broker.service.port': 70000 }, /'\/broker\/service\/port': maximum/],
  ['a peer that is none', SQLITE, { 'broker.ingressFrom': [{}] }, /'\/broker\/ingressFrom\/0': minProperties/],
  ['a wide address', valuesOf('gateway'), { 'gateway.listenAddress': 'a.b' }, /'\/gateway\/listenAddress': value must/],
];

for (const [what, file, changes, words] of REFUSALS)
  test(`the chart refuses ${what}, and says so`, async () => {
    const { code, yaml, said } = await render([file], changes);
    assert.notEqual(code, 0, yaml);
    assert.match(said, words);
  });

test('each object of the schema takes known values alone', async () => {
  const schema = JSON.parse(await readFile(path.join(CHART, 'values.schema.json'), 'utf8')) as unknown;
  const open: string[] = [];
  let closed = 0;
  const walk = (at: string, value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('properties' in value && !('additionalProperties' in value)) open.push(at);
    if ('additionalProperties' in value && value.additionalProperties === false) closed += 1;
    for (const [name, inner] of Object.entries(value)) walk(`${at}/${name}`, inner);
  };
  walk('', schema);
  assert.deepEqual(open, []);
  assert.ok(closed > 8);
});

/** Of a container, by the names of its volumes. */
interface Pod {
  readonly containers: readonly {
    readonly name: string;
    readonly volumeMounts: readonly { readonly mountPath: string }[];
  }[];
}
const podOf = ({ spec }: Manifest) => (spec as { template: { spec: Pod } }).template.spec;

for (const file of [...EXAMPLES.map(valuesOf), EVERYTHING])
  test(`${path.basename(file)}: whatever the settings name is in a volume of each pod that reads them`, async () => {
    const { code, yaml, said } = await render([file]);
    assert.equal(code, 0, said);
    const objects = objectsIn(yaml);
    let looked = 0;
    for (const { metadata, data } of objects.filter(({ kind }) => kind === 'ConfigMap')) {
      const text = Object.values(data ?? {}).join('\n');
      const files = [...text.matchAll(/(?:_file|file): (\/\S+)/g)].map(([, name]) => name ?? '');
      assert.ok(files.length > 2, text);
      const readers = objects.filter(
        (object) => object.spec?.template && JSON.stringify(object).includes(`"configMap":{"name":"${metadata.name}"}`),
      );
      assert.ok(readers.length > 0);
      for (const { containers } of readers.map(podOf))
        for (const { name, volumeMounts } of containers)
          for (const wanted of files.filter(
            (one) => !one.startsWith('/var/lib/') || ['broker', 'gateway'].includes(name),
          )) {
            looked += 1;
            const places = volumeMounts.map(({ mountPath }) => mountPath);
            assert.ok(
              places.some((place) => wanted.startsWith(`${place}/`)),
              `${name} has no volume for ${wanted}`,
            );
          }
    }
    assert.ok(looked > 0);
  });

test('settings go into the chart’s own without being changed, but for what the chart decides', async () => {
  const { yaml } = await render([EVERYTHING]);
  const given = (parse(await readFile(EVERYTHING, 'utf8')) as { broker: { config: Record<string, unknown> } }).broker
    .config;
  const text = objectsIn(yaml).find(({ kind }) => kind === 'ConfigMap')?.data?.['curfew-broker.yaml'] ?? '';
  const { listen, store, metrics, keys, ...rest } = parse(text) as Record<string, unknown>;
  const { keys: _, ...wanted } = given;
  assert.deepEqual(rest, wanted);
  assert.deepEqual(keys, {
    rotate_every: '30d',
    encryption_key_file: '/etc/curfew/keys/new',
    other_encryption_key_file: '/etc/curfew/other-keys/old',
  });
  assert.deepEqual(store, { sqlite: { file: '/var/lib/curfew/curfew.db' } });
  assert.ok(listen && metrics);
});

test('what is told at the end names commands and objects that there are', async () => {
  const { code, yaml, said } = await render([POSTGRES], {}, true);
  assert.equal(code, 0, said);
  const [objects = '', notes = ''] = yaml.split(/^NOTES:$/m);
  assert.match(notes, /2 replicas, store in PostgreSQL/);
  const named = [...notes.matchAll(/(deployment|job)\/([a-z0-9-]+)/g)].map(([, kind, name]) => `${kind}/${name}`);
  assert.ok(named.length >= 3, notes);
  const there = objectsIn(objects.slice(objects.indexOf('---'))).map(
    ({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`,
  );
  for (const one of named) assert.ok(there.includes(one), `${one} is none of ${there.join(' ')}`);
});

test('docs/kubernetes-install.md lists each value of the chart, and no other', async () => {
  const text = await readFile(path.join(CHART, '../../../docs/kubernetes-install.md'), 'utf8');
  const listed = [...text.matchAll(/^\| `((?:image|networkPolicy|broker|gateway)\.[\w.]+)` \|/gm)].map(
    ([, name]) => name,
  );
  const real: string[] = [];
  /** Where a person's own structure begins. */
  const leaf = /\.(config|annotations|resources|nodeSelector|podAnnotations|files\.\w+)$/;
  const walk = (at: string, value: unknown): void => {
    const goesOn = typeof value === 'object' && value !== null && !Array.isArray(value) && !leaf.test(at);
    if (!goesOn) real.push(at);
    else for (const [name, inner] of Object.entries(value)) walk(at === '' ? name : `${at}.${name}`, inner);
  };
  walk('', parse(await readFile(path.join(CHART, 'values.yaml'), 'utf8')));
  assert.deepEqual(listed, real);
});

/** As far as the test reads it. */
interface Policy {
  readonly podSelector: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly policyTypes: readonly string[];
  readonly ingress?: readonly {
    readonly from?: readonly object[];
    readonly ports?: readonly { readonly port: unknown }[];
  }[];
  readonly egress?: readonly { readonly to?: readonly object[] }[];
}

for (const file of [...EXAMPLES.map(valuesOf), EVERYTHING])
  test(`${path.basename(file)}: each pod is in a NetworkPolicy both ways, and no rule of it is for everybody unless it says so`, async () => {
    const read = async (changes: Changes = {}) => objectsIn((await render([file], changes)).yaml);
    const policies = (objects: readonly Manifest[]) =>
      objects.flatMap(({ kind, spec }) => (kind === 'NetworkPolicy' ? [spec as unknown as Policy] : []));
    const objects = await read();
    const templates = objects.flatMap(({ spec }) => {
      const template = spec?.template as { metadata: { labels: Record<string, string> } } | undefined;
      return template ? [template.metadata.labels] : [];
    });
    assert.ok(templates.length > 0);
    for (const labels of templates) {
      const own = policies(objects).filter(({ podSelector }) =>
        Object.entries(podSelector.matchLabels).every(([name, value]) => labels[name] === value),
      );
      assert.equal(own.length, 1, JSON.stringify(labels));
      assert.deepEqual(own[0]?.policyTypes, ['Ingress', 'Egress']);
    }
    for (const { ingress = [], egress = [] } of policies(objects)) {
      // A rule without peers lets everybody through.
      for (const { from, ports } of ingress) assert.ok((from?.length ?? 0) > 0 && (ports?.length ?? 0) === 1);
      for (const { to } of egress) assert.ok((to?.length ?? 0) > 0);
    }
    const quiet = await read({ 'broker.metricsFrom': [], 'gateway.metricsFrom': [] });
    const ports = policies(quiet).flatMap(({ ingress = [] }) => ingress.flatMap((rule) => rule.ports ?? []));
    assert.deepEqual([...new Set(ports.map(({ port }) => port))], ['https'], 'metrics are read by nobody unless told');
  });
