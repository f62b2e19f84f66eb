// Signing keys in the long run: published before they sign, published until what they signed is over, and taken back at once where somebody
// says so. On both databases.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exportAuditLog } from '../../broker/commands/audit_commands.ts';
import { listKeys, rotateKeys } from '../../broker/commands/keys.ts';
import { type RevokeParts, revokeKeys, type Which } from '../../broker/commands/revoke_keys.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import type { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { DATABASES } from '../support/stores.ts';

/** Of a token that can be taken: its life, what API servers keep, and a minute for their clocks. */
const TAKEN = 300 + 10 + 60;

const METRICS = { metrics: { address: '127.0.0.1', port: 0 } };

for (const database of DATABASES) {
  describe(`signing keys (${database})`, () => {
    let service: TestService;
    let holder: Holder;
    let handle: string;
    before(async () => {
      service = await startTestService(METRICS, { postgres: database === 'postgres' });
      await open();
    });
    after(() => service.stop());

    async function open(): Promise<void> {
      service.advance(2);
      holder = service.holder();
      handle = (await service.login(holder, { jti: `${service.now}` })).granted.refresh_token ?? '';
    }
    const inStore = (text: string) => {
      using opened = openStoreDatabase(service.storeFile);
      opened.exec(text);
    };
    const config = () => loadConfig(service.configFile, { env: process.env });
    const around = () => ({ now: () => service.now, by: 'root', note: 'drill' });
    const rotate = async () => rotateKeys(await config(), around());
    const published = async () => {
      const { keys } = (await (await fetch(`${service.url}/jwks`)).json()) as { keys: { kid: string }[] };
      return keys.map(({ kid }) => kid);
    };
    const minted = async () => (await holder.renew(handle, 'dev')).granted.access_token;
    const kidOf = (token: string) =>
      String(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid);
    const signs = async () => kidOf(await minted());
    /** Also those of commands. */
    const rows = async () => {
      const lines: string[] = [];
      const take = async (line: string) => lines.push(line) > 0;
      await exportAuditLog(await config(), { since: undefined, now: service.now }, take);
      return lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'keys');
    };
    /** What signs once the broker has heard of what a command did. */
    const settled = async () => {
      const newest = async () => (await rows()).findLast(({ change }) => change === 'added').kids[0];
      await until(async () => (await published()).includes(await newest()), 'it is not heard of');
      return signs();
    };
    const heard = (count: number) => until(async () => (await published()).length === count, 'it is not heard of');
    /** The session is used, so that it outlasts this. */
    const pass = async (length: number) => {
      for (let left = length; left > 0; left -= 1_200) {
        service.advance(Math.min(left, 1_200));
        await service.sweep();
      }
      if (length > 1_200) await open();
    };

    test('a new one is published two minutes before it signs; the old one until the last token that it signed is over', async () => {
      const old = await signs();
      const [line = ''] = await rotate();
      await heard(2);
      const added = (await rows()).at(-1);
      assert.ok(added?.change === 'added' && added.by === 'root' && added.note === 'drill');
      const fresh = added.kids[0] ?? '';
      assert.equal(added.sign_from, service.now + 120);
      assert.match(line, new RegExp(`^ok: ${fresh} signs from `));
      assert.match(
        (await listKeys(await config(), () => service.now)).join('\n'),
        / {2}next: signs from .*\n.* {2}signing, /,
      );
      service.advance(119);
      assert.equal(await signs(), old);
      service.advance(1);
      assert.equal(await signs(), fresh);
      assert.match(
        (await listKeys(await config(), () => service.now)).join('\n'),
        / {2}signing, .*\n.* {2}retiring: published until /,
      );
      service.advance(TAKEN - 1);
      await service.sweep();
      assert.deepEqual(new Set(await published()), new Set([old, fresh]));
      service.advance(1);
      await service.sweep();
      await heard(1);
      assert.deepEqual(await published(), [fresh]);
      const last = (await rows()).at(-1);
      assert.deepEqual([last.change, last.kids], ['retired', [old]]);
      assert.equal(await signs(), fresh);
    });

    test('of a version that had no rotation is as old as it is, and signs until another does', async () => {
      const old = await signs();
      inStore('update signing_key set sign_from = 0');
      await service.restart(METRICS);
      assert.equal(await signs(), old);
      const age = Number((await scrape(service.metrics_url)).value('curfew_signing_key_age_seconds'));
      assert.ok(age >= 0 && age < 86_400, String(age));
      await open();
    });

    test('one that waits already is enough: a second is refused, and nothing is done', async () => {
      await rotate();
      await assert.rejects(rotate, (error) => error instanceof CurfewError && error.code === 'usage');
      await heard(2);
      service.advance(120);
      await pass(TAKEN);
      await heard(1);
    });

    test('is replaced when it is as old as rotate_every says, once; with "off" never', async () => {
      const old = await signs();
      await service.reload({ keys: { encryption_key_file: 'key', rotate_every: 'off' } });
      await pass(100_000);
      assert.deepEqual(await published(), [old]);
      await service.reload({ keys: { encryption_key_file: 'key', rotate_every: '1d' } });
      await service.sweep();
      await service.sweep();
      await heard(2);
      assert.equal((await rows()).at(-1).by, undefined);
      service.advance(120);
      assert.notEqual(await signs(), old);
      await pass(TAKEN);
      await heard(1);
      await service.reload({ keys: { encryption_key_file: 'key' } });
    });

    test('stays published for as long as tokens lived under the configuration that it signed by', async () => {
      const old = await signs();
      await service.reload({ policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '1m' } } });
      await rotate();
      await heard(2);
      service.advance(120);
      service.advance(TAKEN - 1);
      await service.sweep();
      assert.ok((await published()).includes(old));
      service.advance(1);
      await service.sweep();
      await heard(1);
      await service.reload();
      await open();
    });

    describe('T11 revoked', () => {
      const revoke = async (which: Which, more: Partial<RevokeParts> = {}) => {
        const said: string[] = [];
        const taking = { takes: async () => ({ away: 'cannot be reached (ECONNREFUSED)' }) };
        let ms = 0;
        // Each look takes it past its deadline.
        const parts = {
          ...around(),
          kept_ms: 0,
          say: (line: string) => void said.push(line),
          elapsed: () => (ms += 100_000),
        };
        return { ...(await revokeKeys(await config(), which, { ...parts, ...taking, ...more })), said };
      };
      const isActive = async (token: string) => ((await holder.introspect(token)).body as { active: boolean }).active;

      test('one signs no more and is published no more, what it signed is not taken, and a new one signs at once', async () => {
        const token = await minted();
        assert.equal(await isActive(token), true);
        const old = kidOf(token);
        const { lines } = await revoke({ kids: [old] });
        await until(async () => !(await published()).includes(old), 'it is still published');
        assert.equal(await isActive(token), false);
        const [revoked, added] = (await rows()).slice(-2);
        assert.deepEqual([revoked?.change, revoked?.kids, revoked?.by], ['revoked', [old], 'root']);
        assert.equal(lines[0], `ok: revoked ${old}; ${added?.kids[0]} signs from now on`);
        assert.equal(await signs(), added?.kids[0]);
      });

      test('an API server that is not seen to know it is named, and the exit is 75', async () => {
        const { lines, exit, said } = await revoke({ all: true });
        assert.equal(exit, EXIT.try_again);
        assert.match(
          lines[1] ?? '',
          /^warning: cluster dev: https:\/\/127\.0\.0\.1:1 cannot be reached .*: what the revoked keys/,
        );
        assert.match(said[0] ?? '', /^waiting for the API servers/);
      });

      test('one that still takes what they signed is named; with an answer from each that it does not, the exit is 0', async () => {
        const still = await revoke({ all: true }, { takes: async () => ({ taken: true }) });
        assert.equal(still.exit, EXIT.try_again);
        assert.match(still.lines.join('\n'), /dev: \S+ still takes tokens of the revoked keys/);
        // The first of each three is by the new key.
        const current = async (_server: string, _ca: string | undefined, token: string) => ({
          taken: (await listKeys(await config(), () => service.now)).join().includes(kidOf(token)),
        });
        const done = await revoke({ all: true }, { takes: current });
        assert.equal(done.exit, EXIT.done);
        assert.equal(done.lines.length, 3);
      });

      test('an id that is none of them is refused by name, and nothing is done', async () => {
        await until(async () => (await published()).length === 1, 'it has two keys');
        const now = await settled();
        await assert.rejects(
          () => revoke({ kids: [now, 'nobody'] }),
          (error) => error instanceof CurfewError && /no signing key "nobody": nothing was done/.test(error.message),
        );
        assert.equal(await settled(), now);
      });
    });
  });
}
