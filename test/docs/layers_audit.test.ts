// docs/layers-audit.md against the program: the findings with their words, the kinds, and the commands of files, which are run.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { FINDINGS } from '../../broker/alignment/names.ts';
import { CUTTERS } from '../../broker/layers_table/layer.ts';
import { FINDINGS as OF_TABLE } from '../../broker/layers_table/setting.ts';
import { KINDS } from '../../broker/manifests/objects.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { writeBrokerConfig } from '../broker/layers_config.ts';
import { temporaryFolder } from '../cli/host.ts';
import { blocks, read, rowsOf } from './documents.ts';

const PAGE = read('docs/layers-audit.md');

test('each finding is documented with its rule, its level and its words, and no other', () => {
  const rows = rowsOf(PAGE, 'finding', 'rule', 'level', 'what', 'instead');
  const real = Object.entries(FINDINGS).map(([name, { rule = '', level, says, instead }]) => [
    `\`${name}\``,
    ...[rule, level, says, instead],
  ]);
  assert.deepEqual(rows, real);
  assert.deepEqual(
    Object.keys(FINDINGS).filter((name) => name !== 'unreadable'),
    [...OF_TABLE],
  );
});

test('each kind that is looked at, and each cutter, is named', () => {
  for (const kind of Object.keys(KINDS).filter((one) => one !== 'TraefikService'))
    assert.match(PAGE, new RegExp(`\\b${kind}\\b`), kind);
  for (const cutter of Object.keys(CUTTERS)) assert.ok(PAGE.includes(`\`${cutter}\``), cutter);
});

test('the commands of the page run, and find what is shown', async () => {
  const { broker } = await buildBundles();
  const folder = temporaryFolder('layers-page');
  writeBrokerConfig(path.join(folder, 'curfew-broker.yaml'));
  mkdirSync(path.join(folder, 'deploy'));
  const text = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
    nginx.ingress.kubernetes.io/proxy-send-timeout: "60s"
    curfew.internal/cutter: ss -K
spec:
  ingressClassName: traefik
  rules:
    - host: web.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`;
  writeFileSync(path.join(folder, 'deploy/web.yaml'), text);
  const curfew = (words: readonly string[]) =>
    run(process.execPath, [broker, ...words], { cwd: folder, env: { HOME: folder, PATH: '/usr/bin:/bin' } });
  const lines = blocks(PAGE, 'sh').flatMap((block) => block.trim().split('\n'));
  const ours = lines.filter((line) => /^curfew-broker .* deploy\/$/.test(line)).map((line) => line.split(' ').slice(1));
  assert.equal(ours.length, 3);
  const codes: (number | null)[] = [];
  for (const words of ours) codes.push((await curfew(words)).code);
  assert.deepEqual(codes, [1, 0, 0], 'found, written, known');
  const [shown = ''] = blocks(PAGE, 'console');
  const { stdout } = await curfew(ours[0] ?? []);
  const rows = shown.trimEnd().split('\n').slice(1);
  assert.ok(rows.length >= 4);
  for (const row of rows) assert.ok(stdout.split('\n').includes(row), `${row}\n${stdout}`);
});
