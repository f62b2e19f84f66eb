// `curfew-broker names free`: somebody with a new `sub` at the IdP is not locked out for good.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { administer } from '../../broker/commands/administration.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { freeNames, type Wish } from '../../broker/commands/name_commands.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { claimsOf } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';

describe('names free', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  const config = () => loadConfig(service.configFile, { env: process.env });
  const free = async (wish: Wish) => freeNames(await config(), wish, { now: () => service.now, by: 'root' });
  const names = (...list: string[]) => ({ names: list, note: 'hired again' });
  const email = () => `${randomUUID()}@example.com`;

  async function open(claims: Readonly<Record<string, unknown>>, audience: 'dev' | 'none' = 'dev') {
    const holder = service.holder();
    const fields: Readonly<Record<string, string>> = audience === 'none' ? {} : { audience };
    const answer = await service.login(holder, { jti: randomUUID(), ...claims }, fields);
    return { holder, answer };
  }
  const refusal = async (claims: Readonly<Record<string, unknown>>) => (await open(claims)).answer.refused;

  for (const [what, spell] of [
    ['as Kubernetes sees it', (name: string) => `curfew:${name}`],
    ['as the identity provider gives it', (name: string) => name],
  ] as const) {
    test(`a name ${what}: its holder's sessions end, and it is the next one's once no token bears it`, async () => {
      const name = email();
      const first = await open({ sub: `old-${name}`, email: name });
      const { session, refresh_token: handle = '' } = first.answer.granted;
      const again = { sub: `new-${name}`, email: name };
      const taken = await refusal(again);
      assert.equal(taken.reason, 'username_taken');
      assert.ok(service.log.some((line) => line.includes(`new-${name}`) && line.includes('names free')));
      service.advance(10);
      const lines = await free(names(spell(name)));
      assert.deepEqual(lines, [
        `ok: curfew:${name} is free in 5m, when no token bears it any more: 1 active session ended`,
      ]);
      const over = (await first.holder.renew(handle, 'dev')).refused;
      assert.deepEqual([over.reason, over.end_reason], ['session_ended', 'administrator']);
      const resting = await refusal(again);
      assert.deepEqual([resting.reason, resting.retry_after], ['username_taken', 300]);
      assert.match(resting.error_description, /free in 5m$/);
      service.advance(300);
      const { granted } = (await open(again)).answer;
      assert.equal(claimsOf(granted.access_token).username, `curfew:${name}`);
      assert.equal((await refusal({ sub: `old-${name}`, email: name })).reason, 'username_taken');
      assert.notEqual(granted.session.sid, session.sid);
    });
  }

  test('stands in the audit log, with who and why; the audit log stays whole', async () => {
    const name = email();
    await open({ sub: name, email: name }, 'none');
    const lines = await free(names(name));
    assert.deepEqual(lines, [`ok: curfew:${name} is free: 1 active session ended`]);
    const { lines: found, exit } = await verifyAuditLog(await config());
    assert.equal(exit, 0, found.join('\n'));
    const args = ['audit', 'export', '--config', service.configFile];
    const rows = (await broker(...args)).stdout.split('\n').filter((row) => row.includes(name));
    const [end, row] = rows.slice(-2).map((text) => JSON.parse(text) as Record<string, unknown>);
    assert.deepEqual([end?.event, end?.reason, end?.by, end?.note], ['end', 'administrator', 'root', 'hired again']);
    const { command, by, sub, username, sessions, note } = row ?? {};
    assert.deepEqual(
      { command, by, sub, username, sessions, note },
      { command: 'names free', by: 'root', sub: name, username: `curfew:${name}`, sessions: 1, note: 'hired again' },
    );
  });

  test('of several names one that nobody holds: nothing is done', async () => {
    const name = email();
    const { answer, holder } = await open({ sub: name, email: name });
    for (const nobodys of ['nobody@example.com', '', name.toUpperCase(), `curfew:curfew:${name}`]) {
      await assert.rejects(free(names(name, nobodys)), { code: 'usage' });
    }
    assert.equal((await holder.renew(answer.granted.refresh_token ?? '', 'dev')).status, 200);
  });

  test('by a clock that is behind the store: refused, nothing is done', async () => {
    const name = email();
    await open({ sub: name, email: name });
    const around = { now: () => seconds(service.now - 3600), by: 'root' };
    await assert.rejects(freeNames(await config(), names(name), around), { code: 'clock' });
  });

  test('all of them, more than one transaction takes', async () => {
    const people = Array.from({ length: 205 }, () => email());
    const rows = people.map((name) => ({ iss: service.issuer.issuer, sub: name, username: `curfew:${name}` }));
    await administer(await config(), (store) =>
      store.transaction(({ db }) => db.insertInto('person').values(rows).execute()),
    );
    assert.equal((await refusal({ sub: `x${people[0]}`, email: people[0] })).reason, 'username_taken');
    assert.ok((await free({ all: true })).length >= 205);
    assert.deepEqual(await free({ all: true }), ['ok: nobody holds a name']);
    for (const name of people.slice(0, 5))
      assert.equal((await open({ sub: `x${name}`, email: name })).answer.status, 200);
  });

  const broker = (...args: readonly string[]) =>
    run(process.execPath, [path.resolve(import.meta.dirname, '../../broker/main.ts'), ...args]);

  test('as a command: names or --all, not both, not neither', async () => {
    for (const args of [[], ['x', '--all']]) {
      const { code, stderr, stdout } = await broker('names', 'free', ...args, '--config', service.configFile);
      assert.deepEqual([code, stdout], [64, '']);
      assert.match(stderr, /^curfew: error: give either usernames or --all\ncurfew: hint: /);
    }
  });
});
