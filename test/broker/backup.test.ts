// Backup, restore and the way back to an earlier version, by the commands of docs/operations.md as they are there, with real brokers.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { blocks, read } from '../docs/documents.ts';
import { spawnBroker, startBroker } from '../support/broker_process.ts';
import { type LoggedIn, type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { postgresPrograms } from '../support/postgres_programs.ts';
import { unpackRelease } from '../support/releases.ts';

let program: string;
before(async () => {
  ({ broker: program } = await buildBundles());
});

/** The blocks of shell in a section of the page. */
function commandsOf(heading: string): readonly string[] {
  const [, rest = ''] = read('docs/operations.md').split(new RegExp(`^#+ ${heading}$`, 'm'));
  return blocks(rest.split(/^#+ /m)[0] ?? '', 'sh');
}

/** A place as the page describes it: where the page says /backup or /var/lib/curfew, it is in the test's folder. */
async function shell(block: string, place: LoneBroker, env: Readonly<Record<string, string>> = {}) {
  const backup = path.join(place.folder, 'backup');
  mkdirSync(backup, { recursive: true });
  const text = block
    .replaceAll('/etc/curfew/curfew-broker.yaml', place.configFile)
    .replaceAll('/var/lib/curfew', place.folder)
    .replaceAll('/backup', backup);
  const ours = `curfew-broker() { "${process.execPath}" "${program}" "$@"; }\nnode() { "${process.execPath}" "$@"; }\n`;
  // Which program a service manager starts is nothing that the page is about: here it is the test that stops and starts.
  const manager = 'systemctl() { :; }\n';
  const { bin = '', libraries = [] } = env.DATABASE_URL === undefined ? {} : postgresPrograms().clients;
  const paths = { PATH: `${bin}:${process.env.PATH}`, LD_LIBRARY_PATH: libraries.join(':') };
  return run('bash', ['-euo', 'pipefail', '-c', ours + manager + text], { env: { ...process.env, ...paths, ...env } });
}

/** The broker does not serve on this store, and says so. */
async function refusedStart(place: LoneBroker, said: RegExp): Promise<void> {
  const { configFile, url } = place;
  const started = await spawnBroker({ configFile, url });
  const seen = () => said.test(started.output());
  await until(() => seen() || place.ready().then((status) => status === 200), 'the broker says nothing of its store');
  assert.match(started.output(), said);
  assert.notEqual(await place.ready(), 200);
  await started.kill();
}

/** What the page promises of a restored store. @param restore puts the backup back, and does not accept it */
async function restored(place: LoneBroker, backUp: () => Promise<void>, restore: () => Promise<string>): Promise<void> {
  const { process: first } = place;
  const kept = await place.login('kept');
  const ended = await place.login('ended');
  await backUp();
  assert.equal((await ended.holder.revoke(ended.handle)).status, 200);
  assert.equal((await kept.holder.renew(kept.handle, 'dev')).status, 200);
  await first.stop();
  const said = await restore();
  assert.match(said, /^ok: \d+ rows/m, 'audit verify');
  await place.start();
  for (const one of [kept, ended]) {
    const answer = await one.holder.renew(one.handle, 'dev');
    assert.deepEqual([answer.status, answer.refused.error], [400, 'login_required'], 'a session of before');
  }
  const opened: LoggedIn[] = [];
  const logsIn = async () =>
    opened.push(
      ...(await place.login('again').then(
        (one) => [one],
        () => [],
      )),
    ) > 0;
  await until(logsIn, 'nobody can log in');
  for (const { holder, handle } of opened) assert.equal((await holder.renew(handle, 'dev')).status, 200);
}

describe('a store in SQLite', () => {
  let place: LoneBroker;
  before(async () => {
    place = await makeLoneBroker({ name: 'backup' });
    await place.start();
  });
  after(() => place?.remove());

  test('is backed up beside the running broker and restored by the commands of the page; nothing of before comes back', async () => {
    const [backUp = '', restore = '', ...more] = commandsOf('SQLite');
    assert.deepEqual(more, []);
    assert.match(restore, /store accept/);
    await restored(
      place,
      async () => {
        const { code, stderr } = await shell(backUp, place);
        assert.equal(code, 0, stderr);
      },
      async () => {
        const without = restore.replace(/^curfew-broker .*\n/gm, '');
        assert.equal((await shell(without, place)).code, 0);
        await refusedStart(place, /was put back to an earlier state/);
        const { code, stdout, stderr } = await shell(restore, place);
        assert.equal(code, 0, stdout + stderr);
        return stdout;
      },
    );
  });
});

describe('a store in PostgreSQL', () => {
  let server: Postgres;
  let place: LoneBroker;
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-backup-'));
  const url_file = path.join(folder, 'url');
  before(async () => {
    server = await startPostgres();
    writeFileSync(url_file, await server.createDatabase('curfew'), { mode: 0o600 });
    const store = { postgres: { url_file }, witness_file: path.join(folder, 'witness') };
    place = await makeLoneBroker({ name: 'dump', sections: { store } });
    await place.start();
  });
  after(async () => {
    await place?.remove();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('is dumped beside the running broker and restored into a new database likewise', async () => {
    const [dump = '', restore = '', ...more] = commandsOf('PostgreSQL');
    assert.deepEqual(more, []);
    const of = (database: string) => `postgres://postgres@127.0.0.1:${server.port}/${database}`;
    const env = {
      DATABASE_URL: of('curfew'),
      RESTORED_URL: of('curfew_restored'),
      MAINTENANCE_URL: of('postgres'),
    };
    await restored(
      place,
      async () => {
        const { code, stderr } = await shell(dump, place, env);
        assert.equal(code, 0, stderr);
      },
      async () => {
        writeFileSync(url_file, env.RESTORED_URL, { mode: 0o600 });
        const [databases, ours] = [
          restore.replace(/^curfew-broker .*\n/gm, ''),
          restore.replace(/^(?!curfew-broker).*\n/gm, ''),
        ];
        const made = await shell(databases, place, env);
        assert.equal(made.code, 0, made.stderr);
        await refusedStart(place, /was put back to an earlier state/);
        const { code, stdout, stderr } = await shell(ours, place, env);
        assert.equal(code, 0, stdout + stderr);
        return stdout;
      },
    );
  });
});

describe('an earlier version', () => {
  let place: LoneBroker;
  before(async () => {
    place = await makeLoneBroker({ name: 'versions' });
  });
  after(() => place?.remove());

  test('hands its store to this one, and refuses it afterwards, in the words of the page', async () => {
    const { configFile, url } = place;
    const folder = path.join(place.folder, '0.4.0');
    const earlier = unpackRelease('curfew-broker', '0.4.0', folder);
    const old = await startBroker({ configFile, url, program: earlier });
    const { holder, handle } = await place.login('alice');
    await old.stop();
    const ours = await place.start();
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    await ours.stop();
    const back = await spawnBroker({ configFile, url, program: earlier });
    assert.notEqual(await back.exit, 0);
    const [, words = ''] = /0\.4\.0\nrefuses it afterwards \(`([^`]+)`\)/.exec(read('docs/operations.md')) ?? [];
    assert.ok(words !== '' && back.output().includes(words), back.output());
  });
});
