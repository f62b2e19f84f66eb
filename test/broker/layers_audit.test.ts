// `layers audit` on the corpus: each file holds what it promises, at lines that show it; good set-ups hold nothing; no secret is told; and
// whatever is odd comes to an end with words.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { compare, printBaseline, readBaseline } from '../../broker/alignment/baseline.ts';
import type { Finding } from '../../broker/alignment/finding.ts';
import { FINDINGS, type FindingName } from '../../broker/alignment/names.ts';
import { printJson, printSarif, printText } from '../../broker/alignment/say.ts';
import { seconds } from '../../shared/time.ts';
import { auditTexts, MANIFESTS, promised, SCOPE, textOf, WHOLE } from './manifest_corpus.ts';

const said = (findings: readonly Finding[]) => ({ findings, notices: [], judged: 'all', version: '1.2.3' });

interface SarifLog {
  readonly runs: readonly [
    {
      readonly results: readonly {
        readonly ruleId: string;
        readonly ruleIndex: number;
        readonly locations: readonly [
          {
            readonly physicalLocation: {
              readonly artifactLocation: { readonly uri: string };
              readonly region: { readonly startLine: number };
            };
          },
        ];
      }[];
      readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
    },
  ];
}

/** What stands in the line of a finding, where one word says it. */
const LINE: Readonly<Partial<Record<FindingName, RegExp>>> = {
  idle_too_long: /timeout|idle|cookie|annotations:|Timeout/i,
  age_too_long: /max|request|age|cookie|spec:/i,
  verdict_cached: /auth-cache-duration|proxy_cache_valid|cookie-refresh/,
  affinity_outlives: /cookie|maxAge/,
  auth_fail_open: /failOpen|failure_mode_allow|mesh/,
  identity_spoof: /trustForwardHeader|insecure/,
  side_door: /type:|externalIPs|host(?:Network|Port)/,
  netpol_allow_all: /ingress:/,
  retired_controller: /ingressClassName: nginx|image: /,
  drift: /policy-hash/,
  netpol_not_a_cut: /cutter/,
  keepalive_defeats_idle: /keepalive|clitcpka/i,
};

describe('the corpus of manifests', () => {
  it('has at least 60 files, of them twenty that are good, and every finding is in one and missing in others', () => {
    assert.ok(MANIFESTS.length >= 60, `${MANIFESTS.length}`);
    const good = MANIFESTS.filter((name) => promised(textOf(name)).length === 0);
    assert.ok(good.length >= 20, `${good.length}`);
    const found = new Set(MANIFESTS.flatMap((name) => promised(textOf(name))));
    assert.deepEqual([...found].toSorted(), Object.keys(FINDINGS).toSorted());
  });

  for (const name of MANIFESTS) {
    it(`${name}: what it promises, at lines that show it`, () => {
      const text = textOf(name);
      const findings = auditTexts({ [name]: text });
      assert.deepEqual(findings.map((one) => one.name).toSorted(), promised(text));
      const lines = text.split('\n');
      for (const { name: finding, line } of findings) {
        assert.ok(line >= 1 && line <= lines.length, `${finding} at ${line}`);
        const pattern = LINE[finding];
        if (pattern) assert.match(lines[line - 1] ?? '', pattern, `${finding} at ${line}`);
      }
    });
  }

  it('keeps every secret to itself, in each form', () => {
    const findings = MANIFESTS.flatMap((name) => auditTexts({ [name]: textOf(name) }));
    assert.ok(findings.length > 100, `${findings.length}`);
    const canaries = MANIFESTS.flatMap((name) => textOf(name).match(/CANARY/g) ?? []);
    assert.ok(canaries.length > 8, `${canaries.length}`);
    for (const text of [
      printText(said(findings)),
      printJson(said(findings)),
      printSarif(said(findings)),
      printBaseline(findings),
    ])
      assert.doesNotMatch(text, /CANARY|Q0FOQVJZ/);
  });

  it('is SARIF 2.1.0 by its schema, with a place of each finding', () => {
    const file = path.join(import.meta.dirname, '../cli/sarif-schema-2.1.0.json.gz');
    const { id: _, $schema: __, ...rest } = JSON.parse(gunzipSync(readFileSync(file)).toString());
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(rest);
    const findings = MANIFESTS.flatMap((name) => auditTexts({ [`deploy/${name}`]: textOf(name) }));
    const log: SarifLog = JSON.parse(printSarif({ ...said(findings), notices: ['something'] }));
    assert.ok(validate(log), JSON.stringify(validate.errors?.slice(0, 3)));
    assert.ok(validate(JSON.parse(printSarif(said([])))));
    const [run] = log.runs;
    assert.equal(run.results.length, findings.length);
    for (const [i, { ruleId, ruleIndex, locations }] of run.results.entries()) {
      assert.equal(run.tool.driver.rules[ruleIndex]?.id, ruleId);
      assert.equal(locations[0].physicalLocation.artifactLocation.uri, findings[i]?.file);
      assert.equal(locations[0].physicalLocation.region.startLine, findings[i]?.line);
    }
  });
});

describe('all files together', () => {
  const texts = Object.fromEntries(MANIFESTS.filter((name) => !/^good/.test(name)).map((name) => [name, textOf(name)]));

  it('give the same findings in the same order, whatever the order of the files is', () => {
    const whole = auditTexts(texts);
    assert.ok(whole.length > 50);
    fc.assert(
      fc.property(fc.shuffledSubarray(Object.keys(texts), { minLength: 30 }), (names) => {
        const one = auditTexts(Object.fromEntries(names.map((name) => [name, texts[name] ?? ''])));
        const other = auditTexts(Object.fromEntries(names.toReversed().map((name) => [name, texts[name] ?? ''])));
        assert.equal(JSON.stringify(one), JSON.stringify(other));
      }),
      { numRuns: 10 },
    );
  });

  it('an object of another host and namespace takes no finding of a host away', () => {
    const names = MANIFESTS.filter((name) => /\.yaml$/.test(name) && promised(textOf(name)).length > 0);
    const stranger = fc.record({
      kind: fc.constantFrom(
        'Ingress',
        'Service',
        'Deployment',
        'NetworkPolicy',
        'ConfigMap',
        'Middleware',
        'HTTPRoute',
      ),
      name: fc.stringMatching(/^[a-z]{1,8}$/),
      labels: fc.dictionary(fc.constantFrom('app', 'tier'), fc.stringMatching(/^[a-z]{1,5}$/)),
    });
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(stranger, { minLength: 1, maxLength: 4 }), (name, strangers) => {
        const before = auditTexts({ [name]: textOf(name) });
        const more = strangers.map((one) => JSON.stringify(strange(one))).join('\n---\n');
        const after = auditTexts({ [name]: textOf(name), 'z-strangers.yaml': more });
        const there = new Set(after.map((one) => JSON.stringify(one)));
        for (const one of before) assert.ok(there.has(JSON.stringify(one)), `${name}: ${one.name} is gone: ${more}`);
      }),
      { numRuns: 150 },
    );
  });
});

it('a policy that is judged by itself stays so when a host leads elsewhere', () => {
  const alone = auditTexts({ 'a.yaml': textOf('netpol_alone.yaml') });
  const elsewhere = textOf('netpol_inbound_only.yaml').replaceAll('shop', 'strangers');
  const both = auditTexts({ 'a.yaml': textOf('netpol_alone.yaml'), 'b.yaml': elsewhere });
  assert.deepEqual(
    both.filter(({ file }) => file === 'a.yaml'),
    alone,
  );
  assert.equal(alone.length, 1);
});

interface Stranger {
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** In a namespace and for a host that nobody else has. */
function strange({ kind, name, labels }: Stranger): object {
  const group = { Ingress: 'networking.k8s.io/v1', NetworkPolicy: 'networking.k8s.io/v1', Deployment: 'apps/v1' }[kind];
  const more = { Middleware: 'traefik.io/v1alpha1', HTTPRoute: 'gateway.networking.k8s.io/v1' }[kind];
  const backend = { service: { name, port: { number: 80 } } };
  const rules = [{ host: 'stranger.example.net', http: { paths: [{ path: '/', backend }] }, backendRefs: [{ name }] }];
  return {
    ...{ apiVersion: group ?? more ?? 'v1', kind },
    metadata: { name, namespace: 'strangers', labels },
    spec: {
      ...{ rules, hostnames: ['stranger.example.net'], selector: labels, podSelector: { matchLabels: labels } },
      template: { metadata: { labels }, spec: { containers: [{ name, image: 'x:1' }] } },
    },
  };
}

describe('odd files', () => {
  const many = 100_000;
  const INGRESS = 'apiVersion: networking.k8s.io/v1\nkind: Ingress\n';
  for (const [what, text] of [
    ['a list that is deep', '['.repeat(many)],
    ['a mapping that is deep', `${INGRESS}x: ${'{a: '.repeat(5000)}1${'}'.repeat(5000)}`],
    ['an alias within itself', `${INGRESS}spec: &s\n  rules: *s\n`],
    ['an alias of nothing', `${INGRESS}spec: *nothing\n`],
    ['a key twice', `${INGRESS}spec: {}\nspec: {}\n`],
    ['a tab', `${INGRESS}spec:\n\trules: []\n`],
    ['a line without an end', `${INGRESS}spec: "${'x'.repeat(many)}\n`],
  ] as const)
    it(`${what} is unreadable, in words without the text`, () => {
      const findings = auditTexts({ 'a.yaml': text });
      assert.deepEqual(
        findings.map(({ name }) => name),
        ['unreadable'],
        text.slice(0, 80),
      );
      assert.ok((findings[0]?.detail.length ?? 0) < 80);
    });

  it('a document that is huge is not read into memory by half: JSON without lines, YAML with words', () => {
    const many_ = Array.from({ length: 20_000 }, (_, i) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `s${i}`, namespace: 'shop', annotations: { note: 'x'.repeat(150) } },
    }));
    const ingress = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: {
        name: 'a',
        namespace: 'shop',
        annotations: { 'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600', 'curfew.internal/cutter': 'ss -K' },
      },
    };
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...many_, ingress] });
    assert.ok(list.length > 4 * 1024 * 1024);
    assert.deepEqual(
      auditTexts({ 'a.json': list }).map(({ name, line }) => [name, line]),
      [['idle_too_long', 1]],
    );
    const huge = `${INGRESS}metadata:\n  name: a\n  annotations:\n    note: ${'x'.repeat(5 * 1024 * 1024)}\n`;
    assert.deepEqual(
      auditTexts({ 'a.yaml': huge }).map(({ detail }) => detail),
      ['is one document of more than 4 MiB: split it'],
    );
  });

  it('every document of a file is judged, also behind one that is broken', () => {
    const findings = auditTexts({ 'a.yaml': `${INGRESS}spec: [\n---\n${textOf('idle_an_hour.yaml')}` });
    assert.deepEqual(
      findings.map(({ name, line }) => [name, line]),
      [
        ['unreadable', 4],
        ['idle_too_long', 15],
        ['idle_too_long', 16],
      ],
    );
  });

  it('a text of nonsense never makes it fail', () => {
    const word = fc.constantFrom(
      ...[
        'apiVersion: v1\n',
        INGRESS,
        'spec:\n',
        '  rules:\n',
        '  - host: *\n',
        '- ',
        '---\n',
        '{{',
        '}}',
        '&a ',
        '*a',
        '<<: ',
        '\t',
        '"',
        '|\n',
      ],
      ...[
        'server {',
        '}',
        ';',
        'listen',
        'table inet x {',
        'frontend a\n',
        '[x]\n',
        'a = 1\n',
        'static_resources: {listeners: [1]}\n',
      ],
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(word, fc.string({ maxLength: 8 })), { maxLength: 20 }),
        fc.constantFrom('yaml', 'conf', 'cfg', 'toml', 'nft', 'json', ''),
        (words, ending) => {
          auditTexts({ [`f.${ending}`]: words.join('') });
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('shapes that no schema has never make it fail', () => {
    const kinds = [
      'Ingress',
      'HTTPRoute',
      'IngressRoute',
      'VirtualServer',
      'HTTPProxy',
      'VirtualService',
      'Service',
      'Deployment',
      'NetworkPolicy',
    ];
    const groups = [
      'networking.k8s.io/v1',
      'gateway.networking.k8s.io/v1',
      'traefik.io/v1alpha1',
      'k8s.nginx.org/v1',
      'projectcontour.io/v1',
      'networking.istio.io/v1',
      'v1',
      'apps/v1',
    ];
    const anything = fc.object({
      key: fc.constantFrom(
        'rules',
        'http',
        'paths',
        'routes',
        'host',
        'spec',
        'template',
        'selector',
        'ingress',
        'from',
      ),
      maxDepth: 4,
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        fc.constantFrom(...groups),
        anything,
        anything,
        (kind, apiVersion, spec, metadata) => {
          auditTexts({ 'a.yaml': JSON.stringify({ apiVersion, kind, metadata, spec }) });
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('a baseline', () => {
  const name = 'nginx_open.conf';
  const text = textOf(name);
  const findings = auditTexts({ [name]: text });

  it('leaves out what it has, wherever it moved to in its file, and nothing else of the same object', () => {
    const baseline = readBaseline('b', printBaseline(findings));
    const moved = auditTexts({ [name]: `# one more line\n${text}` });
    assert.deepEqual(compare(moved, baseline), { fresh: [], adopted: findings.length, gone: [] });
    const worse = auditTexts({ [name]: text.replace('proxy_read_timeout 1d', 'proxy_read_timeout 2d') });
    const { fresh, gone } = compare(worse, baseline);
    assert.deepEqual(
      fresh.map(({ name: one, detail }) => [one, detail]),
      [['idle_too_long', 'proxy_read_timeout is 2d; inactivity_timeout is 15m']],
    );
    assert.deepEqual(
      gone.map((one) => one.name),
      ['idle_too_long'],
    );
  });

  it('counts: a second finding with the same words is new', () => {
    const one = auditTexts({ 'a.yaml': textOf('second_object_of_host.yaml') });
    const baseline = readBaseline('b', printBaseline(one));
    const twice = [...one, ...one.map((finding) => ({ ...finding, line: finding.line + 1 }))];
    assert.equal(compare(twice, baseline).fresh.length, one.length);
  });

  it('that is none is refused', () => {
    for (const bad of ['', '{}', '[]', '{"version":2,"findings":[]}', '{"version":1,"findings":[{"fingerprint":"x"}]}'])
      assert.throws(() => readBaseline('b', bad), { code: 'configuration' }, bad);
  });
});

it('a route of Envoy Gateway without a policy has the default of Envoy', () => {
  const text = textOf('good_envoy_gateway.yaml')
    .replaceAll(/, streamIdleTimeout: 15m/g, '')
    .replaceAll('streamIdleTimeout: 10m', '');
  const names = (inactivity_timeout: number) =>
    auditTexts(
      { 'a.yaml': text },
      { ...SCOPE, limitsIn: () => ({ ...WHOLE, inactivity_timeout: seconds(inactivity_timeout) }) },
    ).map(({ name, detail }) => `${name}: ${detail}`);
  assert.deepEqual(names(300), []);
  assert.deepEqual(names(299), ['idle_too_long: streamIdleTimeout is 5m by default; inactivity_timeout is 4m']);
});

it('a name that looks like a secret is not printed', () => {
  const token = `eyJhbGciOiJub25lIn0.eyJzdWIiOiJDQU5BUlkifQ.CANARY`;
  const text = textOf('second_object_of_host.yaml')
    .replaceAll('web-api', token)
    .replaceAll('/api', `/hook/${'k'.repeat(43)}`);
  const found = auditTexts({ 'a.yaml': text });
  assert.equal(found.length, 1);
  for (const text_ of [printText(said(found)), printJson(said(found)), printSarif(said(found)), printBaseline(found)])
    assert.doesNotMatch(text_, /CANARY|kkkk/);
});

it('limits of nobody are held against nothing: objects outside of the scope only count for their hosts', () => {
  const text = textOf('second_object_of_host.yaml');
  const none = auditTexts({ 'a.yaml': text }, { ...SCOPE, limitsIn: () => undefined });
  assert.deepEqual(none, []);
});
