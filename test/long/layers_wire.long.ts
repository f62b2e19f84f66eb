// What the table says of nginx, HAProxy, Envoy and Traefik beside what is rendered, each seen on the wire: what zero means, what replaces
// what, what only drains, what a kept verdict does, and an end that Envoy keeps to the millisecond.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { freePort, statusAt } from '../support/layers/proxies.ts';
import { assertCutAt, assertOpenAfter, createStage, EARLY_MS, HOST, type Stage } from '../support/layers/stage.ts';
import { assertKept, until } from '../support/patience.ts';

const SHORT_S = 2;
const LONG_MS = 8_000;

let stage: Stage;
let authority: Stage['authority'];
before(async () => {
  stage = await createStage();
  ({ authority } = stage);
});
afterEach(() => stage.clear());
after(() => stage.close());

const start: Stage['start'] = (...words) => stage.start(...words);
const open: Stage['open'] = (...words) => stage.open(...words);

describe('nginx', () => {
  const readTimeout = (length: string) => (text: string) =>
    text.replace(/proxy_read_timeout .*;/, `proxy_read_timeout ${length};`);

  test('proxy_read_timeout of 0 is over at once', async () => {
    const port = await start('nginx', readTimeout('0'), [], 504);
    // A plain request has no time for its answer, and a WebSocket none for its first byte.
    assert.equal(await statusAt(port, HOST), 504);
  });

  test('proxy_timeout of the stream module ends TCP that rests, and none that is in use', async () => {
    const port = await freePort();
    const own = path.join(stage.folder, 'stream');
    mkdirSync(own);
    const file = path.join(own, 'nginx.conf');
    const server = `listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${stage.app.port}; proxy_timeout ${SHORT_S}s;`;
    writeFileSync(
      file,
      `load_module ${stage.parts.nginx_stream};
pid ${own}/pid; error_log stderr; daemon off; master_process off;
events {}
stream { server { ${server} } }
`,
    );
    await stage.run({ layer: 'nginx', args: ['-e', 'stderr', '-p', own, '-c', file], port, host: HOST });
    const [rests, talks] = [await open(port, 'rest'), await open(port, 'talk')];
    await assertCutAt(rests, SHORT_S * 1000);
    await assertOpenAfter(talks, LONG_MS);
  });

  const asking = (keeps: boolean) => (text: string) => {
    const kept = `proxy_cache curfew; proxy_cache_key $request_uri; proxy_cache_valid 200 5m;`;
    const location = `location = /judge { internal; ${keeps ? kept : ''} proxy_pass http://127.0.0.1:${authority.port}; }`;
    const own = `proxy_cache_path ${stage.folder}/cache-${keeps} keys_zone=curfew:1m;`;
    return `${keeps ? own : ''}${text.replace('    location / {\n', `    ${location}\n    location / {\n        auth_request /judge;\n`)}`;
  };

  test('auth_request asks once, at the start: a WebSocket goes on when the next request is refused; a 302 becomes 500', async () => {
    authority.answer(200);
    const port = await start('nginx', asking(false));
    const talks = await open(port, 'talk');
    authority.answer(401);
    assert.equal(await statusAt(port, HOST), 401);
    await assertOpenAfter(talks, LONG_MS);
    authority.answer(403);
    assert.equal(await statusAt(port, HOST), 403);
    authority.answer(302, { location: 'https://login.example.com/' });
    assert.equal(await statusAt(port, HOST), 500);
  });

  test('a verdict that is kept (proxy_cache_valid) outlives its end, unless the answer says no-store', async () => {
    authority.answer(200);
    const port = await start('nginx', asking(true));
    assert.equal(await statusAt(port, HOST, undefined, '/kept'), 200);
    authority.answer(401);
    assert.equal(await statusAt(port, HOST, undefined, '/kept'), 200);
    authority.answer(200, { 'cache-control': 'no-store' });
    assert.equal(await statusAt(port, HOST, undefined, '/fresh'), 200);
    authority.answer(401, { 'cache-control': 'no-store' });
    assert.equal(await statusAt(port, HOST, undefined, '/fresh'), 401);
  });
});

describe('HAProxy', () => {
  const without = /^ +timeout tunnel .*\n/m;
  const set = (name: string, length: string) => (text: string) =>
    text.replace(new RegExp(`^( +timeout ${name}) .*`, 'm'), `$1 ${length}`);

  for (const name of ['client', 'server'])
    test(`without timeout tunnel, timeout ${name} ends a WebSocket that rests`, async () => {
      const port = await start('haproxy', (text) => set(name, `${SHORT_S}s`)(text.replace(without, '')));
      const [rests, talks] = [await open(port, 'rest'), await open(port, 'talk')];
      await assertCutAt(rests, SHORT_S * 1000);
      await assertOpenAfter(talks, LONG_MS);
    });

  test('timeout tunnel takes the place of client and server after the upgrade', async () => {
    const short = (text: string) => set('client', `${SHORT_S}s`)(set('server', `${SHORT_S}s`)(text));
    await assertOpenAfter(await open(await start('haproxy', short), 'rest'), LONG_MS);
  });

  test('timeout tunnel of 0 is no limit, and a number without a unit is milliseconds', async () => {
    const none = await open(await start('haproxy', set('tunnel', '0')), 'rest');
    const bare = await open(await start('haproxy', set('tunnel', String(SHORT_S * 1000))), 'rest');
    await assertCutAt(bare, SHORT_S * 1000);
    await assertOpenAfter(none, LONG_MS);
  });

  test('its runtime API ends one connection, and no other', async () => {
    const socket = path.join(stage.folder, 'runtime.sock');
    const port = await start('haproxy', (text) => `global\n    stats socket ${socket} level admin\n${text}`);
    const [one, other] = [await open(port, 'talk'), await open(port, 'talk')];
    const sessions = await atRuntime(socket, 'show sess');
    const line = sessions.split('\n').find((found) => found.includes(`src=127.0.0.1:${one.local_port} `));
    const [, id] = /^(0x[0-9a-f]+):/.exec(line ?? '') ?? [];
    assert.ok(id, sessions);
    await atRuntime(socket, `shutdown session ${id}`);
    await until(() => one.ended !== undefined, 'it is not cut');
    await assertOpenAfter(other, other.age() + 1_000);
  });
});

function atRuntime(file: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    connect(file)
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .once('end', () => resolve(Buffer.concat(chunks).toString()))
      .once('error', reject)
      .end(`${command}\n`);
  });
}

interface Filter {
  name: string;
  typed_config: Record<string, unknown> & {
    common_http_protocol_options: Record<string, unknown>;
    http_filters: object[];
    route_config: { virtual_hosts: { routes: { route: Record<string, unknown> }[] }[] };
  };
}
interface EnvoyFile {
  static_resources: {
    listeners: { filter_chains: { filters: Filter[] }[] }[];
    clusters: Record<string, unknown>[];
  };
}

describe('Envoy', () => {
  const by = (change: (filter: Filter, file: EnvoyFile) => void) => (text: string) => {
    const file = parse(text) as EnvoyFile;
    const filter = file.static_resources.listeners[0]?.filter_chains[0]?.filters[0];
    assert.ok(filter);
    change(filter, file);
    return stringify(file, { aliasDuplicateObjects: false });
  };
  const routeOf = ({ typed_config }: Filter) => {
    const route = typed_config.route_config.virtual_hosts[0]?.routes[0]?.route;
    assert.ok(route);
    return route;
  };

  test('max_connection_duration only drains: a WebSocket in use goes on', async () => {
    const port = await start(
      'envoy',
      by(({ typed_config }) => {
        typed_config.common_http_protocol_options.max_connection_duration = `${SHORT_S}s`;
      }),
    );
    await assertOpenAfter(await open(port, 'talk'), LONG_MS);
  });

  test('max_downstream_connection_duration of tcp_proxy cuts what is in use', async () => {
    const port = await start(
      'envoy',
      by((filter) => {
        filter.name = 'envoy.filters.network.tcp_proxy';
        const type = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
        const settings = {
          stat_prefix: 'curfew',
          cluster: 'curfew',
          max_downstream_connection_duration: `${SHORT_S}s`,
        };
        filter.typed_config = { '@type': type, ...settings } as unknown as Filter['typed_config'];
      }),
    );
    await assertCutAt(await open(port, 'talk'), SHORT_S * 1000);
  });

  test('stream_idle_timeout of 0s is no limit, and idle_timeout of a route takes its place', async () => {
    const none = await open(
      await start(
        'envoy',
        by(({ typed_config }) => {
          typed_config.stream_idle_timeout = '0s';
        }),
      ),
      'rest',
    );
    const route = await open(
      await start(
        'envoy',
        by((filter) => {
          routeOf(filter).idle_timeout = `${SHORT_S}s`;
        }),
      ),
      'rest',
    );
    await assertCutAt(route, SHORT_S * 1000);
    await assertOpenAfter(none, LONG_MS);
  });

  test('max_stream_duration of all streams ends a WebSocket in use; that of a route takes its place, and 0s is no limit', async () => {
    const all = (of_route: object | undefined) =>
      by((filter) => {
        filter.typed_config.common_http_protocol_options.max_stream_duration = `${SHORT_S}s`;
        routeOf(filter).max_stream_duration = of_route;
      });
    const without = await open(await start('envoy', all(undefined)), 'talk');
    const none = await open(await start('envoy', all({ max_stream_duration: '0s' })), 'talk');
    await assertCutAt(without, SHORT_S * 1000);
    await assertOpenAfter(none, LONG_MS);
  });

  /** As the table has it: the authority's header counts, whatever a client says. */
  const judged = (filter: Filter, { static_resources }: EnvoyFile) => {
    const server_uri = { uri: `http://127.0.0.1:${authority.port}`, cluster: 'authority', timeout: '5s' };
    const authorization_response = { allowed_upstream_headers: { patterns: [{ exact: 'grpc-timeout' }] } };
    filter.typed_config.http_filters.unshift({
      name: 'envoy.filters.http.ext_authz',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
        http_service: { server_uri, authorization_response },
        clear_route_cache: true,
        failure_mode_allow: false,
      },
    });
    routeOf(filter).max_stream_duration = { grpc_timeout_header_max: '0s' };
    const [own] = static_resources.clusters;
    const address = { socket_address: { address: '127.0.0.1', port_value: authority.port } };
    const endpoints = [{ lb_endpoints: [{ endpoint: { address } }] }];
    static_resources.clusters.push({
      ...own,
      name: 'authority',
      load_assignment: { cluster_name: 'authority', endpoints },
    });
  };

  test("grpc-timeout of the authority (grpc_timeout_header_max: 0s) ends a WebSocket and an answer at the session's end, whatever a client says of it", async () => {
    const session_ms = 4_000;
    let end = 0;
    authority.answerBy(200, () => ({
      'grpc-timeout': `${Math.max(1, Math.round(end - performance.now()))}m`,
      'cache-control': 'no-store',
    }));
    end = performance.now() + 60_000;
    const port = await start('envoy', by(judged));
    end = performance.now() + session_ms;
    const talks = await open(port, 'talk');
    const reads = await open(port, 'read');
    const lengthens = await open(port, 'talk', { 'grpc-timeout': '9999999S' });
    await sleep(session_ms / 2);
    const late = await open(port, 'talk');
    for (const stream of [talks, reads, lengthens, late]) {
      await until(() => stream.ended !== undefined, 'it is not cut');
      const at = performance.now() - stream.age() + (stream.ended ?? 0);
      assertKept(at - end, 0, 'a cut');
      assert.ok(at > end - EARLY_MS, `cut ${Math.round(end - at)} ms before the end`);
    }
  });

  test('an authority that fails lets nobody through', async () => {
    authority.answer(500);
    const port = await start('envoy', by(judged), [], 403);
    await assert.rejects(open(port, 'talk'), / 403 /);
  });
});

describe('Traefik', () => {
  test('timeouts of an entry point never touch a WebSocket', async () => {
    const responding = '--entryPoints.web.transport.respondingTimeouts';
    const more = ['readTimeout', 'writeTimeout', 'idleTimeout'].map((name) => `${responding}.${name}=${SHORT_S}s`);
    const port = await start('traefik', (text) => text, more);
    const [rests, talks] = [await open(port, 'rest'), await open(port, 'talk')];
    await assertOpenAfter(rests, LONG_MS);
    await assertOpenAfter(talks, LONG_MS);
  });

  test('readTimeout of 0 is no limit', async () => {
    const port = await start('traefik', (text) => text.replace(/readTimeout: .*/, 'readTimeout: 0s'));
    await assertOpenAfter(await open(port, 'rest'), LONG_MS);
  });
});
