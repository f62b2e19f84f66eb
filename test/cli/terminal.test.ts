// The line that replaces itself: gone again however the program ends, and no signal is lost to it (P4).

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runInPty } from '../support/pty.ts';

const terminal = new URL('../../cli/host/terminal.ts', import.meta.url).href;

describe('a line that replaces itself', () => {
  for (const [when, then] of [
    ['while it is drawn anew', `terminal.status('two');`],
    ['when it goes', 'terminal.status(undefined);'],
  ] as const) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      it(`${signal} that comes ${when} ends the program, and leaves no half-drawn line (P4)`, async () => {
        const script = `
          const { writeSync } = await import('node:fs');
          const { terminalOf } = await import(${JSON.stringify(terminal)});
          const terminal = terminalOf(process.env, (text) => writeSync(2, text));
          terminal.status('one');
          process.kill(process.pid, '${signal}');
          ${then}
          setTimeout(() => process.exit(3), 2_000);`;
        using pty = runInPty(process.execPath, ['--input-type=module', '-e', script]);
        const { code, signal: by } = await pty.exit;
        assert.deepEqual([code, by], [0, { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }[signal]], pty.output());
        assert.ok(pty.output().endsWith('\r\x1b[K'), JSON.stringify(pty.output()));
      });
    }
  }
});
