// Completion: what can come next, and real TABs in real shells.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { COMPLETE_COMMAND, writeLauncher } from '../../cli/host/launcher.ts';
import { runProgram } from '../../cli/program.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { ensureBinaries } from '../cluster/build.ts';
import { runInPty } from '../support/pty.ts';
import { temporaryFolder, testHost } from './host.ts';

async function completed(...words: readonly string[]): Promise<readonly string[]> {
  const host = testHost();
  assert.equal(await runProgram(host, [COMPLETE_COMMAND, ...words]), 0);
  return host.printed.join('').trimEnd().split('\n');
}
const names = async (...words: readonly string[]) => (await completed(...words)).map((line) => line.split('\t')[0]);

describe('what can come next', () => {
  it('is a command, with what it does', async () => {
    assert.deepEqual(await completed('sess'), [
      'sessions\tyour sessions at the broker, and those of others for administrators',
      ':4',
    ]);
    const all = await names('');
    for (const name of ['setup', 'login', 'doctor', 'completion']) assert.ok(all.includes(name), name);
    assert.ok(!all.includes(COMPLETE_COMMAND));
    assert.deepEqual(await names('sessions', ''), ['list', 'end', ':4']);
    assert.deepEqual(await names('nonsense', 'nothing-begins-so'), [':4']);
  });

  it('is a flag that is not there yet', async () => {
    assert.deepEqual(await names('login', '--'), [
      '--broker',
      '--cluster',
      '--flow',
      '--no-browser',
      '--ca-file',
      '--help',
      ':4',
    ]);
    assert.deepEqual(await names('login', '--flow', 'paste', '--fl'), [':4']);
  });

  it('is a value of the flag before, or a file', async () => {
    assert.deepEqual(await names('login', '--flow', ''), ['browser', 'device', 'paste', ':4']);
    assert.deepEqual(await names('status', '-o', ''), ['json', ':4']);
    assert.deepEqual(await names('setup', '--ca-file', ''), [':0']);
    assert.deepEqual(await names('setup', '--broker', ''), [':4']);
    assert.deepEqual(await names('audit', 'kubeconfig', ''), [':0']);
    assert.deepEqual(await names('completion', ''), ['bash', 'zsh', 'fish', ':4']);
  });
});

describe('a TAB', () => {
  let env: Readonly<Record<string, string>>;
  before(async () => {
    await buildBundles();
    const home = temporaryFolder('completion');
    const host = { ...testHost({ HOME: home, CURFEW_CONFIG_DIR: `${home}/config` }) };
    const { file } = writeLauncher(host);
    const bin = path.dirname(file);
    assert.ok(readdirSync(bin).includes('kubectl_complete-curfew'));
    const { kubectl } = await ensureBinaries();
    symlinkSync(kubectl, path.join(bin, 'kubectl'));
    mkdirSync(path.join(home, '.config/fish'), { recursive: true });
    writeFileSync(path.join(home, '.zshrc'), '');
    env = {
      HOME: home,
      PATH: `${bin}:/usr/bin:/bin`,
      TERM: 'xterm',
      LANG: 'C.UTF-8',
      CURFEW_CONFIG_DIR: `${home}/config`,
    };
  });

  /** Types a beginning and a TAB, and waits for the rest of the word. */
  const tab = async (shell: string, args: readonly string[], begin: readonly string[]) => {
    using pty = runInPty(shell, args, { env });
    for (const line of begin) pty.write(`${line}\r`);
    pty.write("printf '%s%s\\n' rea dy\r");
    await pty.waitFor('ready');
    pty.write('kubectl-curfew sess\t');
    await pty.waitFor('ions');
    pty.write('en\t');
    await pty.waitFor('d');
    pty.write('\x15kubectl curfew comp\t');
    await pty.waitFor('letion');
    pty.write('fi\t');
    await pty.waitFor('sh');
    pty.write('\x15exit\r');
    await pty.exit;
  };

  it('in bash', () =>
    tab(
      '/bin/bash',
      ['--norc', '-i'],
      [
        '. /usr/share/bash-completion/bash_completion',
        'source <(kubectl-curfew completion bash); source <(kubectl completion bash)',
      ],
    ));

  it('in zsh', () =>
    tab(
      '/usr/bin/zsh',
      ['-f', '-i'],
      [
        'unsetopt zle_bracketed_paste 2>/dev/null; autoload -Uz compinit && compinit -u -D',
        'source <(kubectl-curfew completion zsh); source <(kubectl completion zsh)',
      ],
    ));

  it('in fish', () =>
    tab(
      '/usr/bin/fish',
      ['--no-config', '-i'],
      ['kubectl-curfew completion fish | source; kubectl completion fish | source'],
    ));
});
