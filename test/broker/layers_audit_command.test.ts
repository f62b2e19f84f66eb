// `curfew-broker layers audit` as it is typed: what it reads, its exit status, baselines, and that nothing looked at is no success.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { before, describe, it } from 'node:test';
import { auditLayers, type LayersAuditOptions } from '../../broker/commands/layers_audit.ts';
import { renderLayer } from '../../broker/commands/layers_render.ts';
import { loadConfig } from '../../broker/config/load.ts';
import type { Config } from '../../broker/config/settings.ts';
import { CurfewError } from '../../shared/errors.ts';
import { temporaryFolder } from '../cli/host.ts';
import { writeBrokerConfig } from './layers_config.ts';
import { FOLDER, textOf } from './manifest_corpus.ts';
import { manyManifests } from './many_manifests.ts';

interface Told {
  readonly judged: string;
  readonly findings: readonly {
    readonly name: string;
    readonly file: string;
    readonly line: number;
    readonly detail: string;
  }[];
  readonly warnings: readonly string[];
}

describe('layers audit', () => {
  let config: Config;
  let folder: string;
  let count = 0;

  before(async () => {
    folder = temporaryFolder('layers-audit');
    const file = path.join(folder, 'curfew-broker.yaml');
    writeBrokerConfig(file);
    config = await loadConfig(file, { env: {} });
  });

  const fresh = (files: Readonly<Record<string, string>>): string => {
    count += 1;
    const to = path.join(folder, `case${count}`);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(to, name)), { recursive: true });
      writeFileSync(path.join(to, name), text);
    }
    return to;
  };
  const saved = new Map<string, string>();
  const run = (paths: readonly string[], options: LayersAuditOptions = {}, input = '') =>
    auditLayers(config, paths, options.segment === undefined ? { cluster: 'prod', ...options } : options, {
      stdin: () => Readable.from([Buffer.from(input)]),
      version: '1.2.3',
      save: async (file, text) => {
        writeFileSync(file, text);
        saved.set(file, text);
      },
    });
  const told = async (
    paths: readonly string[],
    options: LayersAuditOptions = {},
    input = '',
  ): Promise<Told & { exit: number }> => {
    const { text, exit } = await run(paths, { ...options, output: 'json' }, input);
    return { ...JSON.parse(text), exit };
  };
  const refusal = async (work: Promise<unknown>): Promise<CurfewError> => {
    const error = await work.then(
      () => undefined,
      (one: unknown) => one,
    );
    assert.ok(error instanceof CurfewError, String(error));
    return error;
  };

  it('exits with 0 where nothing is found and with 1 where something is', async () => {
    const good = await told([path.join(FOLDER, 'good_linkerd.yaml')]);
    assert.deepEqual([good.exit, good.findings.length, good.judged], [0, 0, '3 objects of 1 source, cluster prod']);
    const bad = await told([path.join(FOLDER, 'idle_an_hour.yaml')]);
    assert.deepEqual([bad.exit, bad.findings.length], [1, 2]);
  });

  it('reads standard input, as helm and kustomize write it', async () => {
    const { findings, exit } = await told(['-'], {}, textOf('idle_an_hour.yaml'));
    assert.deepEqual([exit, findings.map(({ file, line }) => `${file}:${line}`)], [1, ['stdin:11', 'stdin:12']]);
    const { findings: conf } = await told(['-'], {}, textOf('haproxy_unbounded.cfg'));
    assert.ok(conf.some(({ name }) => name === 'idle_unbounded'));
  });

  it('holds each object against the limits of its namespace, by the engine, and what names none against all of them', async () => {
    const text = textOf('good_linkerd.yaml');
    const names = async (one: string, options: LayersAuditOptions = {}) =>
      (await told(['-'], options, one)).findings.map(({ name }) => name);
    assert.deepEqual(await names(text), []);
    // An hour and five minutes there.
    const payments = text.replaceAll('namespace: faces', 'namespace: payroll');
    assert.deepEqual(await names(payments), ['age_too_long', 'idle_too_long']);
    const nowhere = text.replaceAll(/namespace: faces/g, 'x: y');
    assert.deepEqual(await names(nowhere), ['age_too_long', 'idle_too_long']);
    assert.match((await told(['-'], {}, nowhere)).warnings.join(), /3 objects without a namespace/);
    assert.deepEqual(await names(nowhere, { namespace: 'shop' }), []);
    assert.deepEqual(await names(nowhere, { namespace: 'payments' }), ['age_too_long', 'idle_too_long']);
    assert.deepEqual(await names(nowhere, { segment: 'payments' }), ['age_too_long', 'idle_too_long']);
  });

  it('a segment that matches no object is not a success; objects outside of it are counted', async () => {
    const text = textOf('idle_an_hour.yaml');
    const { code, message } = await refusal(run(['-'], { segment: 'payments' }, text));
    assert.deepEqual(
      [code, message],
      ['configuration', 'segment payments matches none of 1 objects: nothing was judged'],
    );
    const both = `${text}---\n${text.replaceAll('shop', 'payments')}`;
    const { findings, warnings } = await told(['-'], { segment: 'payments' }, both);
    assert.equal(findings.length, 2);
    assert.match(warnings.join(), /1 object in namespaces that are not of segment payments: not judged/);
  });

  it('what names nothing that is known is not a success', async () => {
    const empty = fresh({ 'readme.md': 'x' });
    assert.match((await refusal(run([empty]))).message, /^there is no file of YAML/);
    const other = fresh({
      'a.yaml': 'apiVersion: v1\nkind: Secret\ndata: {}\n',
      'b.yaml': 'kind: Widget\napiVersion: x/v1\n',
    });
    assert.match((await refusal(run([other]))).message, /^nothing in 2 files is known here, only Secret, Widget$/);
    assert.match((await refusal(run([path.join(folder, 'none')]))).message, /none is not there$/);
    for (const [paths, options] of [
      [[], {}],
      [['-'], { segment: 'payments', cluster: 'prod' }],
      [['-'], { cluster: 'else' }],
      [['-'], { segment: 'else' }],
      [['-'], { context: 'x' }],
      [['-'], { writeBaseline: true }],
      [['-'], { kubeconfig: 'x' }],
    ] as const)
      assert.equal((await refusal(run(paths, options))).code, 'usage', JSON.stringify(options));
  });

  it('follows links, each folder once, and says what cannot be read', async () => {
    const here = fresh({
      'deploy/web.yaml': textOf('idle_an_hour.yaml'),
      'deploy/.git/config.yaml': 'kind: Ingress\n  x',
      'deploy/binary.yaml': 'a\0b',
      'deploy/sub/more.json': JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'a', namespace: 'b' },
      }),
    });
    symlinkSync('..', path.join(here, 'deploy/sub/round'));
    symlinkSync('nowhere.yaml', path.join(here, 'deploy/lost.yaml'));
    symlinkSync('self.yaml', path.join(here, 'deploy/self.yaml'));
    symlinkSync(path.join(here, 'deploy/sub'), path.join(here, 'deploy/again'));
    execFileSync('mkfifo', [path.join(here, 'deploy/pipe.yaml')]);
    const { findings, judged } = await told([path.join(here, 'deploy')]);
    assert.match(judged, /^2 objects of 6 sources/);
    const unread = findings
      .filter(({ name }) => name === 'unreadable')
      .map(({ file, detail }) => `${path.basename(file)}: ${detail}`);
    assert.deepEqual(unread.toSorted(), [
      'binary.yaml: binary, or not UTF-8',
      'lost.yaml: no such file',
      'pipe.yaml: no regular file',
      'self.yaml: cannot be read (ELOOP)',
    ]);
    assert.equal(findings.length, 6);
  });

  it('a file without permission is a finding', async () => {
    const here = fresh({ 'a.yaml': textOf('idle_an_hour.yaml'), 'b.yaml': textOf('idle_an_hour.yaml') });
    chmodSync(path.join(here, 'b.yaml'), 0);
    const { findings } = await told([here]);
    // Root reads everything.
    const may = process.getuid?.() === 0;
    assert.deepEqual(
      findings.filter(({ file }) => file.endsWith('b.yaml')).map(({ name }) => name),
      may ? ['idle_too_long', 'idle_too_long'] : ['unreadable'],
    );
  });

  it('a baseline is written, leaves out what it has, tells what is gone, and hides nothing new', async () => {
    const here = fresh({ 'a.yaml': textOf('idle_an_hour.yaml') });
    const baseline = path.join(here, 'known.baseline');
    const file = path.join(here, 'a.yaml');
    const written = await run([file], { baseline, writeBaseline: true });
    assert.deepEqual([written.exit, written.text], [0, `${baseline}: 2 findings\n`]);
    const known = await told([file], { baseline });
    assert.deepEqual([known.exit, known.findings, known.warnings], [0, [], []]);
    assert.match(known.judged, /; 2 known by the baseline$/);
    writeFileSync(file, readFileSync(file, 'utf8').replace('proxy-send-timeout: "3600"', 'proxy-send-timeout: "7200"'));
    const worse = await told([file], { baseline });
    assert.deepEqual(
      [worse.exit, worse.findings.map(({ detail }) => detail)],
      [1, ['proxy-send-timeout is 2h; inactivity_timeout is 15m']],
    );
    assert.match(worse.warnings.join(), /^gone: idle_too_long of Ingress shop\/grpc is in the baseline/);
    assert.equal((await refusal(run([file], { baseline: file }))).code, 'configuration');
    assert.equal((await refusal(run([file], { baseline: `${baseline}.none` }))).code, 'configuration');
  });

  it('10,000 objects come to an end, each judged', async () => {
    const objects = 10_000;
    const here = fresh(Object.fromEntries(manyManifests(objects, 20).map((text, i) => [`${i}.yaml`, text])));
    const { findings, judged } = await told([here]);
    assert.match(judged, /^10000 objects of 20 sources/);
    // One Ingress in five, and each hundredth Service.
    assert.equal(findings.filter(({ name }) => name === 'idle_too_long').length, objects / 20);
    assert.equal(findings.filter(({ name }) => name === 'side_door').length, objects / 100);
    assert.equal(findings.length, objects / 20 + objects / 100);
  });

  it('what was rendered for other limits has drifted', async () => {
    const wish = {
      segment: 'payments',
      target: 'payments/orders:8080',
      host: 'orders.example.com',
      ingress: 'ingress',
    } as const;
    for (const [layer, ending] of [
      ['ingress-nginx', 'yaml'],
      ['nftables', 'nft'],
    ] as const) {
      const text = renderLayer(config, { layer, ...wish });
      const changed = text.replace(/(policy-hash: )[0-9a-f]{16}/g, '$1ffffffffffffffff');
      assert.notEqual(changed, text);
      const here = fresh({ [`a.${ending}`]: changed });
      assert.ok(
        (await told([here], { segment: 'payments' })).findings.some(({ name }) => name === 'drift'),
        layer,
      );
    }
  });

  it('the corpus as a folder is judged whole', async () => {
    const here = path.join(folder, 'corpus');
    cpSync(FOLDER, here, { recursive: true });
    const { findings, exit } = await told([here]);
    assert.equal(exit, 1);
    assert.ok(findings.length > 100);
  });
});
