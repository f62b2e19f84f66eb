// The test IdP as a process of its own: it says where it is, stays quiet otherwise, and does not outlive its parent.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeBrowser } from './browser.ts';
import type { Idp } from './idp.ts';
import { logIn } from './idp_login.ts';
import { startIdpProcess } from './idp_process.ts';

let dir = '';
const options = { users: { alice: { password: 'alice' } }, hint: 'alice / alice' };

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'curfew-idp-main-'));
});
after(() => rm(dir, { recursive: true, force: true }));

test('it serves logins from another process, and stop ends it', async () => {
  const idp = await startIdpProcess(dir, options);
  assert.equal((await stat(join(dir, 'idp.json'))).mode & 0o777, 0o600);
  try {
    const browser = makeBrowser(dir, { user: 'alice', password: 'alice' });
    const { claims } = await logIn({ issuer: idp.issuer, clientId: 'curfew' } as Idp, browser);
    assert.equal(claims.preferred_username, 'alice');
    assert.notEqual(idp.pid, process.pid);
  } finally {
    await idp.stop();
  }
  await assert.rejects(fetch(idp.issuer));
});

test('it prints one line and nothing else, warnings included, and ends when its stdin does', async () => {
  const file = join(dir, 'options.json');
  await writeFile(file, JSON.stringify(options));
  const main = fileURLToPath(new URL('idp_main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, file], { stdio: 'pipe' });
  const printed = Promise.all([text(child.stdout), text(child.stderr)]);
  await once(child.stdout, 'readable');
  child.stdin.end();
  const [code] = await once(child, 'exit');
  const [stdout, stderr] = await printed;
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /^\{"issuer":"http:\/\/127\.0\.0\.1:\d+","pid":\d+\}\n$/);
});

test('one that cannot start is an error', async () => {
  await assert.rejects(startIdpProcess(join(dir, 'nowhere'), options));
});
