// docs/layers.md against the table: each row, each unit and each cutter as it is there, and no other.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { explainLayers } from '../../broker/commands/layers_explain.ts';
import { CUTTERS, LAYERS } from '../../broker/layers_table/layer.ts';
import { nameOf, SWITCHES, TIMINGS, tableOf } from '../../broker/layers_table/table.ts';
import { UNITS } from '../../broker/layers_table/units.ts';
import { CurfewError } from '../../shared/errors.ts';
import { read, rowsOf } from './documents.ts';
import { layerRows, settingRows, switchRows } from './layers_rows.ts';

const HCM = 'static_resources.listeners[].filter_chains[].filters[].typed_config';
const TEXT = read('docs/layers.md');
const named = (rows: Readonly<Record<string, string>>) =>
  Object.entries(rows).map(([name, says]) => [`\`${name}\``, says]);

test('each layer is documented as the table has it', () => {
  const header = ['layer', 'idle', 'age', "this session's end", 'what can end the rest', 'shown'];
  assert.deepEqual(rowsOf(TEXT, ...header), layerRows());
});

test('each setting that bounds something is documented as the table has it', () => {
  const header = [
    'layer',
    'setting',
    'where',
    'unit',
    'default',
    '0 means',
    'absent means',
    'bounds',
    'versions',
    'trap',
    'shown',
  ];
  assert.deepEqual(rowsOf(TEXT, ...header), settingRows());
});

test('each setting that takes a bound away is documented as the table has it', () => {
  const header = ['layer', 'switch', 'where', 'opens when', 'finding', 'versions', 'why', 'shown'];
  assert.deepEqual(rowsOf(TEXT, ...header), switchRows());
});

test('each unit and each cutter is documented', () => {
  assert.deepEqual(rowsOf(TEXT, 'unit', 'written'), named(UNITS));
  assert.deepEqual(rowsOf(TEXT, 'cutter', 'what it ends'), named(CUTTERS));
});

describe('layers explain', () => {
  for (const layer of LAYERS) {
    test(`${layer}: says what it holds, what cuts, and every row with its trap`, () => {
      const text = explainLayers(layer).join('\n');
      const { idle, age, session_end, cutters, timings, switches, shown } = tableOf(layer);
      for (const { says } of [idle, age, session_end]) assert.ok(text.includes(says), says);
      for (const cutter of cutters) assert.ok(text.includes(CUTTERS[cutter]), cutter);
      for (const { place, trap } of [...timings, ...switches]) {
        assert.ok(text.includes(`  ${nameOf(place)} (`), nameOf(place));
        assert.ok(trap === undefined || text.includes(trap), trap);
      }
      assert.equal(/not run here/.test(text.split('\n', 1)[0] ?? ''), shown === 'not run here');
    });
  }

  test('without a layer all are listed, and one that is not known is named', () => {
    const lines = explainLayers();
    for (const layer of LAYERS)
      assert.ok(
        lines.some((line) => line.startsWith(`${layer} `)),
        layer,
      );
    assert.throws(
      () => explainLayers('iptables'),
      (error) => error instanceof CurfewError && error.code === 'usage' && error.message.includes('nftables'),
    );
  });
});

/** Which test runs what is said to have been run, by layer and name. */
const SEEN: Readonly<Record<string, readonly string[]>> = {
  'e2e/layers_wire.test.ts': [
    'nginx proxy_read_timeout',
    'traefik http.serversTransports.*.forwardingTimeouts.readTimeout',
    'traefik entryPoints.*.transport.respondingTimeouts.writeTimeout',
    'haproxy timeout tunnel',
    `envoy ${HCM}.stream_idle_timeout`,
    `envoy ${HCM}.route_config.virtual_hosts[].routes[].route.max_stream_duration.max_stream_duration`,
    'nftables set age timeout',
    'nftables set idle timeout',
    'nftables element timeout',
  ],
  'e2e/layers_login.test.ts': ['oauth2-proxy --cookie-expire', 'oauth2-proxy --cookie-refresh'],
  'e2e/layers_objects.test.ts': ['traefik spec.forwardingTimeouts.readTimeout'],
  'long/layers_ingress.long.ts': ['ingress-nginx nginx.ingress.kubernetes.io/proxy-read-timeout'],
  'long/layers_node.long.ts': ['nftables net.netfilter.nf_conntrack_tcp_timeout_established'],
  'long/layers_wire.long.ts': [
    'nginx proxy_timeout',
    'nginx proxy_cache_valid',
    'nginx auth_request',
    'traefik entryPoints.*.transport.respondingTimeouts.readTimeout',
    'traefik entryPoints.*.transport.respondingTimeouts.idleTimeout',
    'haproxy timeout client',
    'haproxy timeout server',
    `envoy ${HCM}.route_config.virtual_hosts[].routes[].route.idle_timeout`,
    `envoy ${HCM}.route_config.virtual_hosts[].routes[].route.max_stream_duration.grpc_timeout_header_max`,
    `envoy ${HCM}.common_http_protocol_options.max_stream_duration`,
    `envoy ${HCM}.common_http_protocol_options.max_connection_duration`,
    `envoy ${HCM}.max_downstream_connection_duration`,
    'envoy grpc-timeout',
  ],
};

test('what is said to have been run is run by a test, and what is run is said', () => {
  const said = [...TIMINGS, ...SWITCHES].filter(({ shown }) => shown === 'ran');
  const names = said.map(({ layer, place }) => `${layer} ${nameOf(place)}`);
  assert.deepEqual(Object.values(SEEN).flat().sort(), names.sort());
  for (const [file, seen] of Object.entries(SEEN)) {
    const text = read(`test/${file}`);
    for (const name of seen) {
      const [last = ''] = name.split(/[ ./]/).slice(-1);
      assert.ok(text.includes(last), `${file} has nothing of ${name}`);
    }
  }
});
