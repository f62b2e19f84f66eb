// Signing keys that are taken back: the real kube-apiserver keeps what it has read of the keys, and the command waits until it has read them again.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import https from 'node:https';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { logIn, tokenOf } from '../support/log_in.ts';
import { startWorld, type World } from '../support/world.ts';

/** Of an answer to this token. */
async function statusOf(token: string): Promise<number | undefined> {
  const { server, caFile } = world.plane;
  const options = { ca: await readFile(caFile), headers: { authorization: `Bearer ${token}` } };
  const [answer] = await once(https.get(`${server}/version`, options), 'response');
  answer.resume();
  return answer.statusCode;
}

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world?.stop());

test('check --live sees that the real kube-apiserver takes tokens of the broker', async () => {
  const { stdout, stderr } = await world.site.command('check', '--live', '-o', 'json');
  const { checks } = JSON.parse(stdout || `{"checks": "${stderr}"}`);
  const found = checks.filter(({ name }: { name: string }) => name === 'api_server' || name === 'clock');
  assert.deepEqual(
    found.map(({ state }: { state: string }) => state),
    ['ok', 'ok'],
    stdout,
  );
  assert.match(found[0].says, /^takes a token of the broker/);
});

describe('T11 keys revoke', () => {
  test('waits until the API server takes no token of before, one of just now included, and people go on with the next', async (t) => {
    const person = await logIn(world, 'alice');
    const token = await tokenOf(world, person);
    const use = async (bearer: string) => (await statusOf(bearer)) !== 401;
    assert.equal(await use(token), true);
    const began = performance.now();
    const revoking = world.site.command('keys', 'revoke', '--all', '--reason', 'drill');
    let over = false;
    void revoking.finally(() => {
      over = true;
    });
    // In use all the while: an API server keeps what it has found of a token.
    while (!over) await Promise.all([use(token), sleep(250)]);
    const { code, stdout, stderr } = await revoking;
    assert.equal(code, 0, stdout + stderr);
    t.diagnostic(`after ${Math.round((performance.now() - began) / 1000)} s`);
    assert.match(
      stdout,
      /^ok: revoked \S+; \S+ signs from now on\nok: cluster dev: https:\/\/\S+ takes no token of the revoked keys\n$/,
    );
    assert.equal(await use(token), false);
    assert.equal((await person.curfew(['login'])).code, 0);
    assert.equal((await person.kubectl(['auth', 'whoami'])).code, 0);
  });
});
