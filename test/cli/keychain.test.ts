// Where secrets are kept (P8): the keychain when it works, and what is said and done when it does not.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { PROGRAMS } from '../native/launcher.ts';
import { assertKept } from '../support/patience.ts';
import { credentialOf, type Desk, openDesk, readJson, refusalOf } from './desk.ts';
import { type Keyring, startKeyring } from './keyring.ts';

for (const via of PROGRAMS)
  describe(`with a keychain (${via})`, () => {
    let desk: Desk;
    let keyring: Keyring;
    before(async () => {
      desk = await openDesk({}, { via });
      keyring = await startKeyring(`${desk.dir}/keyring`);
      await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file]);
    });
    after(async () => {
      keyring.resume();
      await keyring.stop();
      await desk.stop();
    });

    const record = async () => {
      const [name = ''] = readdirSync(`${desk.dir}/config/sessions`);
      return await readJson(`${desk.dir}/config/sessions/${name}`);
    };
    const files = () => (existsSync(`${desk.dir}/config/secrets`) ? readdirSync(`${desk.dir}/config/secrets`) : []);
    const getToken = (cluster: string, interactive: boolean) =>
      desk.getToken(cluster, interactive, { env: keyring.env });

    it('handle and key are kept there, and in no file', async () => {
      const result = await getToken('dev', true);
      credentialOf(result);
      assert.doesNotMatch(result.stderr, /keychain|kept/);
      assert.equal((await record()).kept_in, 'keychain');
      assert.deepEqual(files(), []);
      const status = JSON.parse((await desk.curfew(['status', '-o', 'json'], keyring.env)).stdout);
      assert.deepEqual(status.brokers[0].secrets, { kept_in: 'keychain' });
    });

    it('a renewal reads them from there', async () => {
      credentialOf(await getToken('prod', false));
    });

    it('a logout takes the handle out, and leaves the key for the next login', async () => {
      const result = await desk.curfew(['logout'], keyring.env);
      assert.equal(result.code, 0, result.stderr);
      assert.equal((await getToken('dev', false)).code, 77);
      credentialOf(await getToken('dev', true));
      assert.deepEqual(files(), []);
    });

    it('that hangs: a renewal gives up within 3 s and says so (P8)', async () => {
      keyring.hang();
      const result = await getToken('vault', false);
      keyring.resume();
      assert.equal(result.code, 77);
      assert.match(refusalOf(result).error, /^the keychain did not answer within 3s$/);
      assertKept(result.ms, 3_000);
    });

    it('that hangs: a login succeeds all the same, and is kept in a file, said once (P8)', async () => {
      keyring.hang();
      const result = await desk.curfew(['login'], keyring.env);
      const again = await desk.curfew(['login'], keyring.env);
      keyring.resume();
      assert.equal(result.code, 0, result.stderr);
      assertKept(result.ms, 3_000);
      assert.match(
        result.stderr,
        /^curfew: the keychain did not answer within 3s: the login is kept in \S+, readable by you alone$/m,
      );
      assert.doesNotMatch(again.stderr, /kept in/);
      assertKept(again.ms, 3_000);
      assert.equal((await record()).kept_in, 'file');
      assert.equal(files().length, 1);
      credentialOf(await getToken('dev', false));
    });

    it('that failed is not asked again at the next login: status says why', async () => {
      const [{ secrets }] = JSON.parse((await desk.curfew(['status', '-o', 'json'], keyring.env)).stdout).brokers;
      assert.deepEqual([secrets.kept_in, secrets.why], ['file', 'the keychain did not answer within 3s']);
      assert.match(
        (await desk.curfew(['status'], keyring.env)).stdout,
        /^secrets {2}in the file \S+: the keychain did not/m,
      );
      assert.equal((await desk.curfew(['login'], keyring.env)).code, 0);
      assert.equal((await record()).kept_in, 'file');
    });

    it('is asked again after a setup: it takes the next login, and the file goes', async () => {
      await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file], keyring.env);
      const result = await desk.curfew(['login'], keyring.env);
      assert.equal(result.code, 0, result.stderr);
      assert.equal((await record()).kept_in, 'keychain');
      assert.deepEqual(files(), []);
    });

    it('that is locked: a renewal says that it is; a login goes into a file (P8)', async () => {
      await keyring.lock();
      const refused = await getToken('dev', false);
      assert.equal(refused.code, 77);
      assert.match(
        refusalOf(refused).error,
        /^the keychain is locked, or lost the login$|^there is no working keychain$/,
      );
      assertKept(refused.ms, 3_000);
      const result = await getToken('dev', true);
      credentialOf(result);
      assert.equal((await record()).kept_in, 'file');
      credentialOf(await getToken('prod', false));
    });

    it('no secret ever stood in a process’s arguments or in a log', async () => {
      const [name = ''] = files();
      const { handle } = await readJson(`${desk.dir}/config/secrets/${name}`);
      assert.equal(typeof handle, 'string');
      assert.ok(!desk.broker.output().includes(String(handle)));
      for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
        const text = ['cmdline', 'environ'].map((file) => readQuietly(`/proc/${pid}/${file}`)).join('');
        assert.ok(!text.includes(String(handle)));
      }
    });
  });

function readQuietly(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
