// The pseudo-terminal: programs in it believe in a terminal, and what appears can be awaited.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInPty } from './pty.ts';

const node = process.execPath;
const ask = `
  const { stdin, stdout, stderr } = process;
  console.log(['terminal', stdin.isTTY, stdout.isTTY, stderr.isTTY, stdout.columns].join(' '));
  const names = [];
  stdout.write('who? ');
  stdin.setEncoding('utf8').on('data', (line) => {
    names.push(line.trim());
    if (names.length < 2) return stdout.write('who? ');
    console.log('hello ' + names.join(' and '));
    process.exit(5);
  });`;

test('a program in a pty sees a terminal, reads typed lines, and its code comes back', async () => {
  using pty = runInPty(node, ['-e', ask], { cols: 91 });
  await pty.waitFor('terminal true true true 91');
  await pty.waitFor(/who\? $/);
  pty.write('alice\r');
  await pty.waitFor(/who\? $/);
  pty.write('bob\r');
  assert.equal(await pty.waitFor(/hello \w+ and \w+/), 'hello alice and bob');
  assert.deepEqual(await pty.exit, { code: 5, signal: 0 });
  assert.match(pty.output(), /terminal true/);
});

test('a wait looks only at what came after the one before', async () => {
  using pty = runInPty(node, ['-e', `console.log('once'); setTimeout(() => {}, 60000)`]);
  await pty.waitFor('once');
  await assert.rejects(pty.waitFor('once', 200), /has not appeared within 200 ms; the terminal shows:\nonce/);
  pty.kill();
  assert.equal((await pty.exit).signal, 9);
});

test('a wait ends when the command does', async () => {
  using pty = runInPty(node, ['-e', `console.log('short')`]);
  await assert.rejects(pty.waitFor('long'), /had not appeared when the command ended/);
  assert.equal((await pty.exit).code, 0);
});

test('all that a program printed is there once it has ended', async () => {
  using pty = runInPty(node, ['-e', `process.stdout.write('x'.repeat(200000) + 'LAST')`]);
  await pty.exit;
  assert.ok(pty.output().endsWith('LAST'));
});

test('Ctrl-C typed at the terminal interrupts the program', async () => {
  using pty = runInPty(node, ['-e', `console.log('up'); setTimeout(() => {}, 60000)`]);
  await pty.waitFor('up');
  pty.write('\x03');
  assert.equal((await pty.exit).signal, 2);
});

test('a program killed right after its start ends, and killing it again is no error', async () => {
  const pty = runInPty('sleep', ['600']);
  pty.kill();
  assert.equal((await pty.exit).signal, 9);
  pty.kill();
});
