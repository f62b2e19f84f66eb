// Running commands to their end: what they say, how they end, and that nothing stays behind.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run } from '../../scripts/run.ts';
import { assertKept } from './patience.ts';

const node = process.execPath;

async function gone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries += 1) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (stat === '' || stat.includes(') Z ')) return true;
    await sleep(50);
  }
  return false;
}

test('a command gets its arguments, input and environment, and its output and code come back', async () => {
  const script = `process.stdin.pipe(process.stdout); console.error(process.argv[1], process.env.WHO); process.exitCode = 7`;
  const result = await run(node, ['-e', script, 'a b;c'], { env: { WHO: 'alice' }, input: 'typed' });
  assert.deepEqual(
    { code: result.code, signal: result.signal, stdout: result.stdout, stderr: result.stderr, late: result.timedOut },
    { code: 7, signal: null, stdout: 'typed', stderr: 'a b;c alice\n', late: false },
  );
  assert.ok(result.ms > 0);
});

test('a command without input reads the end of file at once', async () => {
  const result = await run(node, ['-e', `process.stdin.on('end', () => console.log('end')).resume()`]);
  assert.equal(result.stdout, 'end\n');
});

test('past its timeout a command is killed together with its children', async () => {
  const script = `const child = require('node:child_process').spawn('sleep', ['600']); console.log(child.pid)`;
  const result = await run(node, ['-e', script], { timeout: 700 });
  assert.deepEqual([result.code, result.signal, result.timedOut], [null, 'SIGKILL', true]);
  assertKept(result.ms, 700);
  assert.ok(await gone(Number(result.stdout)));
});

test('a grandchild that keeps the output open is not waited for', async () => {
  const script = `const child = require('node:child_process').spawn('sleep', ['20'], { stdio: 'inherit', detached: true });
    child.unref(); console.log(child.pid)`;
  const begin = performance.now();
  const result = await run(node, ['-e', script]);
  process.kill(Number(result.stdout), 'SIGKILL');
  assert.equal(result.code, 0);
  assert.ok(performance.now() - begin < 10_000);
});

test('a command that does not exist is an error', async () => {
  await assert.rejects(run('/nonexistent/command'), { code: 'ENOENT' });
});

test('children end with the process that ran them, also when a signal ends it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'curfew-run-'));
  try {
    const pidFile = join(dir, 'pid');
    const runner = fileURLToPath(new URL('../../scripts/run.ts', import.meta.url));
    const script = `import { run } from ${JSON.stringify(runner)};
      const started = run('sh', ['-c', 'echo $$ > ${pidFile}; exec sleep 600']);
      setTimeout(() => process.kill(process.pid, 'SIGTERM'), 500);
      await started;`;
    const result = await run(node, ['--input-type=module', '-e', script]);
    assert.equal(result.signal, 'SIGTERM');
    assert.ok(await gone(Number(await readFile(pidFile, 'utf8'))));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
