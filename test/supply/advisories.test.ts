// Advisories about what we use: a finding fails, a registry that does not answer fails nothing and is said.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { run } from '../../scripts/run.ts';
import { advisoriesIn, exceptionsIn, judge } from '../../scripts/supply/advisories.ts';
import { ROOT } from '../docs/documents.ts';

const HIGH = { id: 'GHSA-aaaa-bbbb-cccc', name: 'jose', severity: 'high', title: 'takes any key' };
const TODAY = '2026-06-15';

/** A registry that knows advisories and nothing else. @returns its address, and what it was asked about */
async function registry(severity?: string) {
  const asked: string[][] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (!request.url?.endsWith('/-/npm/v1/security/advisories/bulk')) {
      response.writeHead(404).end('{}');
      return;
    }
    const body = Buffer.concat(chunks);
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    asked.push(Object.keys(JSON.parse(text.toString()) as object));
    const url = `https://github.com/advisories/${HIGH.id}`;
    const advisory = {
      id: 1,
      url,
      title: HIGH.title,
      severity,
      vulnerable_versions: '<99.0.0',
      cwe: [],
      cvss: { score: 0 },
    };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(severity === undefined ? {} : { jose: [advisory] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { asked, url: `http://127.0.0.1:${port}/`, [Symbol.dispose]: () => void server.close() };
}

/** With an empty cache: npm remembers what an advisory of that number said. */
async function ask(url: string) {
  const cache = mkdtempSync(path.join(tmpdir(), 'curfew-advisories-'));
  try {
    const env = {
      ...process.env,
      npm_config_registry: url,
      npm_config_cache: cache,
      npm_config_update_notifier: 'false',
    };
    return await run(process.execPath, [path.join(ROOT, 'scripts/supply/advisories.ts')], { env, timeout: 200_000 });
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

test('a high finding is named and fails; the registry is asked about what is in the lock file', async () => {
  using known = await registry('high');
  const { code, stdout } = await ask(known.url);
  assert.equal(code, 1, stdout);
  assert.equal(stdout, `jose: high: ${HIGH.title} (${HIGH.id})\n1 must not stay\n`);
  assert.ok(known.asked[0]?.includes('fastify') && known.asked[0].includes('jose') && known.asked[0].length > 150);
});

test('what is less than high is told, and fails nothing; nor does nothing', async () => {
  using moderate = await registry('moderate');
  using none = await registry();
  const [told, silent] = await Promise.all([ask(moderate.url), ask(none.url)]);
  assert.deepEqual([told.code, told.stdout.split('\n', 1)[0]], [0, `jose: moderate: ${HIGH.title} (${HIGH.id})`]);
  assert.deepEqual([silent.code, silent.stdout], [0, 'checked: nothing that must not stay\n']);
});

test('a registry that is away, or knows no advisories, fails nothing and is said', async () => {
  const server = createServer((_, response) => void response.writeHead(405).end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const without = await ask(`http://127.0.0.1:${port}/`);
  server.close();
  await once(server, 'close');
  const away = await ask(`http://127.0.0.1:${port}/`);
  for (const { code, stdout } of [without, away]) {
    assert.deepEqual([code, stdout], [0, 'not checked: the registry did not answer\n']);
  }
});

test('a finding that somebody has looked at stays until its day, and one that is gone is told', () => {
  const exception = { advisory: HIGH.id, reason: 'the function is not in any bundle', until: TODAY };
  assert.deepEqual(judge([HIGH], [], TODAY).faults, [`jose: high: ${HIGH.title} (${HIGH.id})`]);
  assert.deepEqual(judge([HIGH], [exception], TODAY).faults, []);
  assert.match(judge([HIGH], [exception], TODAY).notes.join(), /stays until 2026-06-15: the function is not/);
  assert.match(judge([HIGH], [exception], '2026-06-16').faults.join(), /was to be looked at again by 2026-06-15/);
  assert.deepEqual(judge([{ ...HIGH, id: 'GHSA-dddd-bbbb-cccc' }], [exception], TODAY).faults.length, 1);
  assert.deepEqual(judge([{ ...HIGH, severity: 'critical' }], [], TODAY).faults.length, 1);
  assert.match(judge([], [exception], TODAY).notes.join(), /is not found any more/);
});

test('an exception has an advisory, a reason and a day; those of the project do', () => {
  exceptionsIn(readFileSync(path.join(ROOT, 'scripts/supply/advisories.json'), 'utf8'));
  const good = { advisory: HIGH.id, reason: 'the function is not in any bundle', until: TODAY };
  assert.equal(exceptionsIn(JSON.stringify([good])).length, 1);
  for (const bad of [
    { advisory: 'CVE-1' },
    { reason: 'later' },
    { reason: undefined },
    { until: 'never' },
    { until: undefined },
  ]) {
    assert.throws(() => exceptionsIn(JSON.stringify([{ ...good, ...bad }])), /^Error: advisories\.json: /);
  }
});

test('output that is not a report is no answer, and findings that come by several ways are one', () => {
  for (const output of ['', 'npm error', '{}', '{"message":"405"}', '{"auditReportVersion":2}']) {
    assert.equal(advisoriesIn(output), undefined, output);
  }
  const via = {
    source: 7,
    name: 'jose',
    url: `https://github.com/advisories/${HIGH.id}`,
    severity: 'high',
    title: HIGH.title,
  };
  const vulnerabilities = { jose: { via: [via] }, 'openid-client': { via: ['jose', via] } };
  assert.deepEqual(advisoriesIn(JSON.stringify({ auditReportVersion: 2, vulnerabilities })), [HIGH]);
});
