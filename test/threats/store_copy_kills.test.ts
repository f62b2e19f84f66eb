// `store copy` that is killed at any moment, as often as it is run: never both stores are in use, the same command goes on from there, and
// in the end all that the file had is in the database.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { openStore } from '../../broker/open_store.ts';
import { countOf } from '../counts.ts';
import { type Chance, chanceOf } from '../support/chance.ts';
import { type MovingStore, startMovingStore } from '../support/moving_store.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { T0 } from '../support/service.ts';
import { rowsOfCopy, rowsOfFile } from '../support/store_rows.ts';

const NAME = 'copy_kills';
const SESSIONS = 1_200;
/** Milliseconds after a line that a copy says of how far it is. */
const LATER_MS = 16;
/** Of those lines, the last ones are about which store is in use: half of the kills are there. */
const LAST = 6;
/** One store with a witness for each place, one with the same for both. */
const STORES = [{ sqlite: { file: 'curfew.db' } }, { sqlite: { file: 'curfew.db' }, witness_file: 'witness/both' }];

/** Killed some milliseconds after it has said so many lines, if it says as many. @returns how many it has said, and whether it was killed */
async function copying({ copyingProcess }: MovingStore, lines: number, later_ms: number) {
  const child = spawn(...copyingProcess(), { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  let said = 0;
  child.stdout.on('data', async (text: Buffer) => {
    const before = said;
    said += text.toString().split('\n').length - 1;
    if (before >= lines || said < lines) return;
    await sleep(later_ms);
    child.kill('SIGKILL');
  });
  const [code] = await ended;
  assert.ok(code === 0 || code === null, `store copy: exit ${code}`);
  return { said, killed: code === null };
}

describe('store copy that is killed at any moment', () => {
  let server: Postgres;
  const places: MovingStore[] = [];
  /** Lines of a copy that nobody kills. */
  let whole = 0;
  before(async () => {
    server = await startPostgres();
    for (const store of STORES) {
      const place = await startMovingStore(server, { store });
      places.push(place);
      await place.service.login(place.service.holder());
      await place.service.halt();
      await place.fill(SESSIONS);
      for (const part of ['curfew.db', 'witness'])
        cpSync(at(place, part), at(place, `${part}.kept`), { recursive: true });
      whole = (await copying(place, Number.POSITIVE_INFINITY, 0)).said;
      assert.ok(whole > 15, `${whole}`);
    }
  });
  after(async () => {
    for (const place of places) await place.service.stop();
    await server?.stop();
  });

  const at = ({ folder }: MovingStore, name: string) => path.join(folder, name);

  /** As before the first copy. */
  async function putBack(place: MovingStore): Promise<void> {
    await server.query(`drop database if exists ${place.name}`);
    await server.createDatabase(place.name);
    for (const part of ['curfew.db', 'curfew.db-wal', 'curfew.db-shm', 'witness'])
      rmSync(at(place, part), { recursive: true, force: true });
    for (const part of ['curfew.db', 'witness'])
      cpSync(at(place, `${part}.kept`), at(place, part), { recursive: true });
  }

  /** The file is in use: what is written then must be in the copy. */
  async function use(place: MovingStore, sub: string): Promise<void> {
    const { store, guard } = await openStore((await place.load('sqlite')).store, await place.options());
    await store.transaction(async ({ db, audit }) => {
      await db.insertInto('person').values({ iss: 'used', sub, username: sub }).execute();
      await audit({ event: 'end', at: T0, sid: sub, reason: 'logout', ended_at: T0 });
    });
    await store.close();
    guard.close();
  }

  /** @returns which was in use after each kill */
  async function round(place: MovingStore, kills: number, chance: Chance): Promise<readonly string[]> {
    await putBack(place);
    const seen: string[] = [];
    while (seen.length < kills) {
      const lines = chance.below(2) === 0 ? whole - chance.below(LAST) : 1 + chance.below(whole);
      if (!(await copying(place, lines, chance.below(LATER_MS))).killed) break;
      const [file, copy] = [await place.usable('sqlite'), await place.usable('postgres')];
      assert.ok(!(file && copy), 'both are in use');
      seen.push(file ? 'file' : copy ? 'copy' : 'neither');
      if (file && chance.below(2) === 0) await use(place, `used-${seen.length}`);
    }
    await place.copy();
    assert.deepEqual([await place.usable('sqlite'), await place.usable('postgres')], [false, true]);
    const rows = rowsOfFile(place.file);
    assert.ok((rows.session?.length ?? 0) > SESSIONS && (rows.audit?.length ?? 0) > SESSIONS);
    assert.deepEqual(await rowsOfCopy(server, place.name, Object.keys(rows)), rows);
    const { exit, lines } = await verifyAuditLog(await place.load('postgres'));
    assert.equal(exit, 0, lines.join('\n'));
    return seen;
  }

  const kills = countOf('copy_kills');
  test(`F12 ${kills} kills: one of both is in use at most, a repetition finishes, all rows are there, the audit log is whole`, async (context) => {
    const chance = chanceOf(NAME);
    context.diagnostic(`SEED=${chance.seed}`);
    const seen: string[] = [];
    for (let rounds = 0; seen.length < kills; rounds++) {
      const place = places[rounds % places.length];
      if (place) seen.push(...(await round(place, 1 + chance.below(3), chance)));
      assert.ok(rounds < 5 * kills, 'it is done before it can be killed');
    }
    const count = (what: string) => seen.filter((one) => one === what).length;
    context.diagnostic(
      `in use after a kill: the file ${count('file')}, neither ${count('neither')}, the copy ${count('copy')}`,
    );
  });
});
