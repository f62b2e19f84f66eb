// Logins by a browser anywhere, whose last address the person pastes, at a real terminal.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { queryOf } from '../../cli/login/paste.ts';
import type { Mode } from '../support/browser_visit.ts';
import { addressLeftAt } from '../support/elsewhere.ts';
import type { Pty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';

const ALICE = { user: 'alice', password: 'wonderland', otp: '' };

describe('a login by paste', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  beforeEach(() => desk.idp.endSessions(null));
  after(() => desk.stop());

  const env = { BROWSER: undefined, SSH_TTY: '/dev/pts/0', TERM: 'xterm' };
  const begin = async (args: readonly string[] = ['login'], more: Readonly<Record<string, string>> = {}) => {
    const whole = [...args, '--broker', desk.url, '--ca-file', desk.ca_file];
    const pty = desk.curfewAtTerminal(whole, { ...env, ...more });
    const address = (await pty.waitFor(/(?<=log in, in any browser, at: )\S+[^\r\n]*/)).trim();
    await pty.waitFor('paste that address, or the code in it: ');
    return { pty, address: address.replace(/\s+/g, '') };
  };
  const leftAt = (address: string, mode: Mode = 'login') => addressLeftAt(address, ALICE, mode);
  const succeeds = async (pty: Pty) => {
    await pty.waitFor(/logged in as curfew:alice@example\.com for /);
    assert.deepEqual(await pty.exit, { code: 0, signal: 0 });
    credentialOf(await desk.getToken('dev', false));
  };

  it('over SSH is chosen by itself; the whole address does', async () => {
    const { pty, address } = await begin();
    using _ = pty;
    const left = await leftAt(address);
    assert.match(pty.output(), new RegExp(`begins with ${left.split('?')[0]?.replaceAll('.', '\\.')}`));
    pty.write(`${left}\r`);
    await succeeds(pty);
    assert.ok(!pty.output().includes(new URL(left).searchParams.get('code') ?? '-'), 'what is pasted is not shown');
    assert.deepEqual(desk.browser.visits(), []);
  });

  it('takes the query alone, and the code alone', async () => {
    for (const part of [(left: URL) => left.search.slice(1), (left: URL) => left.searchParams.get('code') ?? '']) {
      const { pty, address } = await begin();
      using _ = pty;
      pty.write(`  ${part(new URL(await leftAt(address)))} \r`);
      await succeeds(pty);
    }
  });

  it('asks again for what is of another login, or has no code; after three it is enough: exit 77', async () => {
    const { pty, address } = await begin();
    using _ = pty;
    const left = new URL(await leftAt(address));
    const other = new URL(left);
    other.searchParams.set('state', 'other');
    pty.write(`${other.href}\r`);
    await pty.waitFor('curfew: that address belongs to another login: once more');
    await pty.waitFor('paste that address');
    pty.write('https://example.com/\r');
    await pty.waitFor('curfew: that address has no code in it: once more');
    await pty.waitFor('paste that address');
    pty.write('\r');
    await pty.waitFor('curfew: error: nothing was pasted');
    assert.equal((await pty.exit).code, 77);
    const second = await begin();
    using __ = second.pty;
    second.pty.write('nonsense that is no code\r');
    await second.pty.waitFor(/curfew: the identity provider at \S+ refused: invalid_grant.*: once more/);
    await second.pty.waitFor('paste that address');
    second.pty.write('héllo\r');
    await second.pty.waitFor('curfew: that is neither an address nor a code: once more');
    await second.pty.waitFor('paste that address');
    second.pty.write(`${await leftAt(second.address)}\r`);
    await succeeds(second.pty);
    const third = await begin();
    using ___ = third.pty;
    for (const again of [true, true, false]) {
      third.pty.write('nonsense\r');
      await third.pty.waitFor(
        again ? ': once more' : /curfew: error: the identity provider at \S+ refused: invalid_grant/,
      );
      if (again) await third.pty.waitFor('paste that address');
    }
    assert.equal((await third.pty.exit).code, 77);
    assert.doesNotMatch(second.pty.output(), /nonsense/);
  });

  it('tells a refusal of the identity provider in its own words', async () => {
    const { pty, address } = await begin();
    using _ = pty;
    pty.write(`${await leftAt(address, 'deny')}\r`);
    await pty.waitFor(/curfew: error: the identity provider at \S+ refused: access_denied \(the person cancelled\)/);
    assert.equal((await pty.exit).code, 77);
  });

  it('takes a line of 6,000 characters whole', async () => {
    const { pty, address } = await begin();
    using _ = pty;
    const left = await leftAt(address);
    const long = `${left}&padding=${'x'.repeat(6_000 - left.length)}`;
    for (let at = 0; at < long.length; at += 500) pty.write(long.slice(at, at + 500));
    pty.write('\r');
    await succeeds(pty);
  });

  it('ends at Ctrl-C and at Ctrl-D, and leaves the terminal as it was (P4)', async () => {
    for (const [key, ended] of [
      ['\x03', ({ code, signal }: { code: number; signal: number }) => signal === 2 || code === 130],
      ['\x04', ({ code }: { code: number }) => code === 77],
    ] as const) {
      const { pty } = await begin();
      using _ = pty;
      pty.write(key);
      const exit = await pty.exit;
      assert.ok(ended(exit), JSON.stringify(exit));
    }
    const { pty, address } = await begin();
    using _ = pty;
    pty.write(`${await leftAt(address)}\r`);
    await succeeds(pty);
  });

  it('goes as well where a kubectl needs the login', async () => {
    await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file]);
    const { pty, address } = await begin(['get-token', '--cluster', 'dev'], { KUBERNETES_EXEC_INFO: execInfo(true) });
    using _ = pty;
    pty.write(`${await leftAt(address)}\r`);
    await pty.waitFor('"kind":"ExecCredential"');
    assert.equal((await pty.exit).code, 0);
  });
});

describe('what is pasted', () => {
  const authorization = { state: 'S', withCode: (code: string) => `code=${code}&state=S` };

  it('never gives a query with another state than that of the login, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webUrl({ withQueryParameters: true }), fc.webQueryParameters()), (text) => {
        const query = queryOf(text, authorization).text;
        if (query !== undefined && text.includes('?')) assert.equal(new URLSearchParams(query).get('state'), 'S');
      }),
    );
  });

  it('may be wrapped by the terminal', () => {
    assert.equal(
      queryOf(' http://127.0.0.1:1/callback?co\r\nde=abc&sta te=S ', authorization).text,
      'code=abc&state=S',
    );
  });
});
