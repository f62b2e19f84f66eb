// Nothing that a test starts outlives it, and builds of two runs do not meet.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { withLock } from '../../scripts/lock.ts';
import { until } from '../support/patience.ts';
import { ensureBinaries } from './build.ts';
import { superviseProcesses } from './processes.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'curfew-test-'));
  await ensureBinaries();
});
after(() => rm(folder, { recursive: true, force: true }));

test('a test killed with SIGKILL leaves no etcd, kube-apiserver, kwok or file behind', async () => {
  const killed = runTest(`
    const { startControlPlane } = await import(${moduleUrl('control_plane.ts')});
    const { pids, caFile } = await startControlPlane({ kwok: true });
    console.log(JSON.stringify({ pids, file: caFile }));
    setInterval(() => {}, 1000);
  `);
  const { pids, file } = JSON.parse(await firstLine(killed));
  assert.equal(pids.length, 3);
  assert.deepEqual(pids.map(isAlive), [true, true, true]);
  killed.kill('SIGKILL');
  await until(() => !pids.some(isAlive) && !existsSync(dirname(file)), 'something is left');
});

const startTwo = `
  const { superviseProcesses } = await import(${moduleUrl('processes.ts')});
  const processes = superviseProcesses();
  const command = { command: '/bin/sleep', args: ['600'], cwd: '/', env: {}, log_file: '/dev/null' };
  const running = [await processes.start(command), await processes.start(command)];
  console.log(JSON.stringify(running.map(({ pid }) => pid)));
`;

test("Ctrl-C, which reaches the test's whole process group, ends what it started", async () => {
  const interrupted = runTest(`${startTwo} setInterval(() => {}, 1000);`, { detached: true });
  const pids: number[] = JSON.parse(await firstLine(interrupted));
  assert.deepEqual(pids.map(isAlive), [true, true]);
  assert.ok(interrupted.pid !== undefined);
  process.kill(-interrupted.pid, 'SIGINT');
  await until(() => !pids.some(isAlive), 'some live on');
});

test('a test that forgets to end its programs exits all the same, and they end with it', async () => {
  const forgetful = runTest(`${startTwo} processes.letTestExit();`);
  const pids: number[] = JSON.parse(await firstLine(forgetful));
  if (forgetful.exitCode === null) await once(forgetful, 'exit');
  assert.equal(forgetful.exitCode, 0);
  await until(() => !pids.some(isAlive), 'some live on');
});

test('a program that is not there, and one that ended by itself, are told apart', async () => {
  const processes = superviseProcesses();
  const command = { args: [], cwd: folder, env: {}, log_file: join(folder, 'log') };
  try {
    await assert.rejects(processes.start({ ...command, command: '/nowhere' }), /cannot start \/nowhere: .*ENOENT/);
    const running = await processes.start({ ...command, command: '/bin/false' });
    await until(() => running.ended() === 'exit code 1', 'it has not ended');
    assert.deepEqual(processes.pids(), []);
  } finally {
    await processes.end();
  }
});

test('a lock held by a process that is killed passes to the one that waits', async () => {
  const lock = join(folder, 'lock.db');
  const holder = runTest(`
    const { withLock } = await import(${moduleUrl('../../scripts/lock.ts')});
    await withLock(${JSON.stringify(lock)}, () => {}, async () => {
      console.log('held');
      await new Promise(() => setInterval(() => {}, 1000));
    });
  `);
  assert.equal(await firstLine(holder), 'held');
  let waited = 0;
  const onWait = () => {
    waited += 1;
    holder.kill('SIGKILL');
  };
  assert.equal(await withLock(lock, onWait, async () => 'mine'), 'mine');
  assert.equal(waited, 1);
});

function moduleUrl(file: string): string {
  return JSON.stringify(new URL(file, import.meta.url).href);
}

function runTest(script: string, options: { readonly detached?: boolean } = {}): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    ...options,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function firstLine(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout ?? []) {
    text += chunk;
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'));
  }
  throw new Error(`it ended before it said a line: ${text}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
