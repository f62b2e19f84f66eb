// What is rendered for the layers around: the same bytes each time, no length longer than its limit, the hash on every object, what cannot be
// held said, and no name from outside that is more than a name.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import { parse, parseAllDocuments } from 'yaml';
import { renderLayer, type Wish } from '../../broker/commands/layers_render.ts';
import { segmentLimits } from '../../broker/config/segments.ts';
import type { Config } from '../../broker/config/settings.ts';
import { parseHost, parseNamespace, parseTarget } from '../../broker/layers_render/input.ts';
import { RENDERED_LAYERS, RENDERERS, type RenderedLayer } from '../../broker/layers_render/render.ts';
import { CUTTERS } from '../../broker/layers_table/layer.ts';
import { POLICY_HASH, policyHash } from '../../broker/layers_table/policy_hash.ts';
import { tableOf } from '../../broker/layers_table/table.ts';
import { readLength, type Unit } from '../../broker/layers_table/units.ts';
import { LONGEST } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { type ConfigFiles, makeConfigFiles } from './config_files.ts';
import { golden, inputOf } from './layers_golden.ts';

/** What each layer's file has of limits: where it is found, in which unit, and whether idle or age. */
const LENGTHS: Readonly<Record<RenderedLayer, readonly (readonly [RegExp, Unit, 'idle' | 'age', number])[]>> = {
  networkpolicy: [],
  'ingress-nginx': [[/\/proxy-(?:read|send)-timeout: "(.*)"$/gm, 'bare_seconds', 'idle', 2]],
  nginx: [[/^ +proxy_(?:read|send)_timeout (.*);$/gm, 'nginx_time', 'idle', 2]],
  traefik: [
    [/^ +(?:readTimeout|writeTimeout|idleConnTimeout): (.*)$/gm, 'traefik_duration', 'idle', 3],
    [/respondingTimeouts\.writeTimeout: (.*)$/gm, 'traefik_duration', 'age', 1],
  ],
  haproxy: [[/^ +timeout (?:client|server|tunnel) (.*)$/gm, 'haproxy_time', 'idle', 3]],
  'haproxy-ingress': [[/\/timeout-(?:client|server|tunnel): (.*)$/gm, 'haproxy_time', 'idle', 3]],
  envoy: [
    [/^ +(?:stream_idle_timeout|idle_timeout): (.*)$/gm, 'protobuf_duration', 'idle', 2],
    [/^ +(?:max_stream_duration|timeout): (.+)$/gm, 'protobuf_duration', 'age', 3],
  ],
  'gateway-api': [[/^ +request: (.*)$/gm, 'gateway_duration', 'age', 1]],
  istio: [
    [/^ +idleTimeout: (.*)$/gm, 'go_duration', 'idle', 2],
    [/^ +maxConnectionDuration: (.*)$/gm, 'go_duration', 'age', 1],
    [/^ +stream_idle_timeout: (.*)$/gm, 'protobuf_duration', 'idle', 1],
    [/^ +max_stream_duration: (.*)$/gm, 'protobuf_duration', 'age', 1],
  ],
  linkerd: [
    [/linkerd\.io\/idle: (.*)$/gm, 'linkerd_duration', 'idle', 1],
    [/linkerd\.io\/request: (.*)$/gm, 'linkerd_duration', 'age', 1],
  ],
  'oauth2-proxy': [
    [/^cookie_expire = "(.*)"$/gm, 'go_duration', 'age', 1],
    [/An idle limit would be cookie_expire = "(.*)",/g, 'go_duration', 'idle', 1],
  ],
  nftables: [
    [/set age[46] \{[^}]*timeout (\d\S*)$/gm, 'nft_time', 'age', 2],
    [/set idle[46] \{[^}]*timeout (\d\S*)$/gm, 'nft_time', 'idle', 2],
  ],
};

const OBJECTS = ['networkpolicy', 'ingress-nginx', 'haproxy-ingress', 'gateway-api', 'istio', 'linkerd'] as const;
const isUsage = (error: unknown) => error instanceof CurfewError && error.code === 'usage';

for (const layer of RENDERED_LAYERS) {
  describe(layer, () => {
    test('is rendered byte for byte as it is kept', () => {
      assert.equal(RENDERERS[layer](inputOf()), golden(layer));
      assert.equal(RENDERERS[layer](inputOf()), RENDERERS[layer](inputOf()));
    });

    test('Y2 every length is there, in the unit of the layer, and none is longer than its limit', () => {
      const length = fc.integer({ min: 1, max: LONGEST }).map(seconds);
      fc.assert(
        fc.property(length, length, (max_age, inactivity_timeout) => {
          const text = RENDERERS[layer](inputOf({ limits: { max_age, inactivity_timeout, token_ttl: seconds(60) } }));
          for (const [pattern, unit, which, count] of LENGTHS[layer]) {
            const found = [...text.matchAll(pattern)].map(([, written = '']) => readLength(unit, written));
            assert.equal(found.length, count, String(pattern));
            const limit = which === 'idle' ? inactivity_timeout : max_age;
            const most = unit === 'haproxy_time' ? Math.min(limit, 24 * 86_400) : limit;
            for (const read of found) assert.deepEqual(read, { ms: most * 1000 }, `${pattern}: ${limit}`);
          }
        }),
        { numRuns: 50 },
      );
    });

    test('says of which limits it was made, what it cannot hold, and what can', () => {
      const input = inputOf();
      const head = RENDERERS[layer](input)
        .split('\n')
        .filter((line) => line.startsWith('#'));
      assert.ok(head.includes(`# ${POLICY_HASH}: ${policyHash(input.segment, input.limits)}`));
      const { idle, age, session_end, cutters } = tableOf(layer);
      for (const { says } of [idle, age, session_end])
        assert.ok(
          head.some((line) => line.includes(says)),
          says,
        );
      assert.equal(
        head.some((line) => line.startsWith('# no_age_bound')),
        age.hold !== 'yes',
      );
      if (age.hold === 'yes') return;
      for (const cutter of cutters)
        assert.ok(
          head.some((line) => line.includes(CUTTERS[cutter])),
          cutter,
        );
    });
  });
}

for (const layer of OBJECTS) {
  test(`${layer}: every object is one of Kubernetes, with a name, a namespace and the hash, and nothing else in the document`, () => {
    const input = inputOf();
    const documents = parseAllDocuments(RENDERERS[layer](input));
    assert.ok(documents.length > 0);
    for (const document of documents) {
      assert.deepEqual([document.errors, document.warnings], [[], []]);
      const { apiVersion, kind, metadata, spec } = document.toJS() as Record<string, Record<string, unknown>>;
      assert.ok(apiVersion && kind && metadata && spec);
      assert.equal(metadata.namespace, 'payments');
      const annotations = metadata.annotations as Record<string, string>;
      assert.equal(annotations[POLICY_HASH], policyHash(input.segment, input.limits));
    }
  });

  test(`${layer}: an address is refused, as it knows Services alone`, () => {
    assert.throws(() => RENDERERS[layer](inputOf({ target: parseTarget('10.0.0.9:8080') })), isUsage);
  });
}

describe('the hash', () => {
  const input = inputOf();
  test('is another one for each length and segment, and the same for what no layer holds', () => {
    const { limits, segment } = input;
    const hashes = [
      policyHash(segment, limits),
      policyHash('orders', limits),
      policyHash(segment, { ...limits, max_age: seconds(1) }),
      policyHash(segment, { ...limits, inactivity_timeout: seconds(1) }),
      policyHash(segment, { ...limits, token_ttl: seconds(1) }),
    ];
    assert.equal(new Set(hashes).size, hashes.length);
    assert.equal(policyHash(segment, { ...limits, acr: ['mfa'] }), hashes[0]);
  });
});

describe('Y1 names from outside', () => {
  const HOSTILE = [
    'a b',
    'a\nb',
    'a;b',
    'a{b}',
    'a"b',
    "a'b",
    '$(id)',
    '`id`',
    '../etc',
    'a#b',
    'a: b',
    '- a',
    '*',
    'A',
    'ä',
    '-a',
    'a-',
    '.a',
    'a..b',
    '',
    'a\u0000b',
    'a\u2028b',
    '%{a}',
    '$' + '{a}',
    '<!--',
    '&a',
    '!!js',
    '~',
    'a'.repeat(64),
    'a,b',
    'a/b/c',
    'a\\b',
    '@a',
    '|',
    '>',
    '[a]',
    '0x',
    'null\n',
  ];

  test('a hostile target, host or namespace is refused with words of one line', () => {
    const refusals = HOSTILE.flatMap((name) =>
      [
        () => parseTarget(`${name}/app`),
        () => parseTarget(`app/${name}`),
        () => parseTarget(`${name}:8080`),
        () => parseTarget(`app/app:${name}`),
        () => parseHost(name),
        () => parseNamespace(name),
      ].map((parseIt, i) => [name, i, parseIt] as const),
    );
    let refused = 0;
    for (const [name, i, parseIt] of refusals) {
      try {
        assert.match(JSON.stringify(parseIt()), /^["{][a-z0-9.:,"{}[\]-]*["}]$/, `${i}: ${JSON.stringify(name)}`);
      } catch (error) {
        if (!(error instanceof CurfewError)) throw error;
        assert.equal(error.code, 'usage');
        assert.doesNotMatch(error.message, /[\p{Cc}\p{Zl}\p{Zp}]/u);
        refused += 1;
      }
    }
    assert.ok(refused > refusals.length * 0.9, `${refused} of ${refusals.length}`);
  });

  test('whatever is taken has only letters, digits, dots, dashes and the brackets of an address', () => {
    const text = fc.string({ unit: fc.constantFrom(...'ab0.-/:[]{}\n"\'; $*A'), maxLength: 24 });
    fc.assert(
      fc.property(text, (typed) => {
        for (const parseIt of [parseTarget, parseHost, parseNamespace]) {
          try {
            const taken = parseIt(typed);
            const texts =
              typeof taken === 'string'
                ? [taken]
                : taken.kind === 'service'
                  ? [taken.namespace, taken.name]
                  : [taken.host];
            for (const one of texts) assert.match(one, /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])$/);
          } catch (error) {
            if (!(error instanceof CurfewError)) throw error;
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('ports are those that there are', () => {
    assert.deepEqual(parseTarget('a/b'), { kind: 'service', namespace: 'a', name: 'b', port: 80 });
    assert.deepEqual(parseTarget('[::1]:443'), { kind: 'address', host: '[::1]', port: 443 });
    for (const text of ['a/b:0', 'a/b:65536', 'a:99999', 'a', 'a:', ':80', '::1:80'])
      assert.throws(() => parseTarget(text), isUsage, text);
  });

  test('a target that is a truth or a number in YAML stays a text', () => {
    for (const name of ['true', 'null', '1e3', '0', 'on', '12', '1-2']) {
      const target = parseTarget(`${name}/${name}`);
      for (const layer of OBJECTS) {
        for (const document of parseAllDocuments(RENDERERS[layer](inputOf({ target, host: name, ingress: name }))))
          assert.equal((document.toJS() as { metadata: { namespace: unknown } }).metadata.namespace, name);
      }
    }
  });
});

describe('layers render', () => {
  let files: ConfigFiles;
  let config: Config;
  before(async () => {
    files = await makeConfigFiles();
    config = await files.load();
  });
  const wish = (changes: Partial<Wish> = {}): Wish => ({ layer: 'traefik', segment: 'prod', ...changes });

  test('has the limits that the engine combines for the segment', () => {
    const text = renderLayer(config, wish({ target: 'payments/orders:8080' }));
    const { limits } = segmentLimits(config, 'prod');
    assert.deepEqual([limits.max_age, limits.inactivity_timeout], [900, 600]);
    const { http } = parse(text) as { http: { serversTransports: { curfew: { forwardingTimeouts: object } } } };
    const { forwardingTimeouts } = http.serversTransports.curfew;
    assert.deepEqual(forwardingTimeouts, { readTimeout: '600s', writeTimeout: '600s', idleConnTimeout: '600s' });
    assert.match(text, /^# Traefik: what it can hold of segment prod, cluster prod-eu\. /);
  });

  test('names what stands for something of the administrator', () => {
    assert.match(
      renderLayer(config, wish()),
      /^# to be replaced: --target app\/app:8080\n# to be replaced: --host app\.example\.com\n/m,
    );
    const whole = wish({ target: 'a/b', host: 'c.example.com', ingress: 'd' });
    assert.doesNotMatch(renderLayer(config, whole), /to be replaced/);
  });

  test('a segment, a cluster or a name that is not one is refused', () => {
    for (const wrong of [
      { segment: 'prot' },
      { cluster: 'prod-us', target: 'a/b' },
      { cluster: 'dev', target: 'a/b' },
      { cluster: 'prod-eu', target: '10.0.0.9:80' },
      { target: 'a b' },
      { host: 'A' },
      { ingress: 'a.b' },
    ])
      assert.throws(() => renderLayer(config, wish(wrong)), isUsage, JSON.stringify(wrong));
  });
});
