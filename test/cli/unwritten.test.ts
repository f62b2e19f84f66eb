// I4 where stdout takes no answer: one error, one hint, no stack, and not a part of a credential that looks whole.

import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { run } from '../../scripts/run.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';

for (const via of PROGRAMS)
  describe(`an answer that cannot be written (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk({}, { via });
      const flags = ['--broker', desk.url, '--ca-file', desk.ca_file];
      const { code, stderr } = await desk.curfew(['login', '--cluster', 'dev', ...flags]);
      assert.equal(code, 0, stderr);
      credentialOf(await desk.getToken('dev', false));
    });
    after(() => desk.stop());

    const call = (sink: string) => {
      const args = ['get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
      return run('/bin/sh', ['-c', `"$@" ${sink}; exit $?`, 'sh', ...desk.command, ...args], {
        env: { ...desk.env, KUBERNETES_EXEC_INFO: execInfo(false) },
      });
    };
    const forget = () => {
      for (const name of readdirSync(`${desk.dir}/cache`))
        if (name.startsWith('https')) rmSync(`${desk.dir}/cache/${name}`);
    };

    for (const [what, first] of [
      ['from the cache', () => undefined],
      ['that was renewed', forget],
    ] as const) {
      it(`I4 ${what}, to a device without space: 69, one error and one hint`, async () => {
        first();
        const { code, stdout, stderr } = await call('> /dev/full');
        assert.deepEqual([code, stdout], [69, '']);
        assert.match(stderr, /^curfew: error: the answer cannot be written\ncurfew: hint: [^\n]+\n$/);
      });
    }

    it('I4 and where nobody reads its words either it ends all the same', async () => {
      assert.equal((await call('> /dev/full 2> /dev/full')).code, 69);
      assert.equal((await call('> /dev/full 2>&-')).code, 69);
      credentialOf(await call('2> /dev/full'));
    });
  });
