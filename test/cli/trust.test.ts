// Whom kubectl's calls trust (P13), what of it others could change (P14), and whose home it is (P17).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readConfig, requireOwnPlace, writeConfig } from '../../cli/host/config.ts';
import { makePrivateDirectory } from '../../cli/host/files.ts';
import { writeLauncher } from '../../cli/host/launcher.ts';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { ownEnvironment } from '../../cli/host/own_home.ts';
import { faultOfPlace } from '../../cli/host/place.ts';
import { createClient } from '../../cli/session/client.ts';
import { brokerOf, requireIdentityProvider, trust } from '../../cli/session/trust.ts';
import { configDirectory } from '../../cli/warm/folders.ts';
import { fingerprintsOf } from '../../cli/wire/certificates.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { credentialOf, type Desk, execInfo, openDesk, refusalOf } from './desk.ts';
import { type TestHost, temporaryFolder, testHost } from './host.ts';

const URL_HERE = 'https://broker.example.com';
const IDP = 'https://idp.example.com';
const ROOT = process.geteuid?.() === 0;
const BY_KUBECTL = { KUBERNETES_EXEC_INFO: execInfo(true) };

/** A host whose calls come from kubectl, in the usual folder. */
function called(env: Record<string, string> = {}): TestHost {
  const host = testHost({ ...BY_KUBECTL, CURFEW_CONFIG_DIR: undefined, ...env });
  return host;
}
const settings = (host: TestHost) => `${host.home}/.config/curfew/config.json`;
function put(file: string, value: unknown, mode = 0o600): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, JSON.stringify(value), { mode });
}
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'done';
  } catch (error) {
    assert.ok(error instanceof CurfewError, String(error));
    return error.code;
  }
};

describe('a broker', () => {
  let one: string;
  let other: string;
  before(async () => {
    const make = async (name: string) => (await createCertificateAuthority(temporaryFolder('ca'), name)).caFile;
    [one, other] = [await make('one'), await make('other')];
  });

  it('P13 is trusted when kubectl calls as it was set up, and with no other certificates', () => {
    const both = path.join(temporaryFolder('both'), 'both.crt');
    writeFileSync(both, readFileSync(one, 'utf8') + readFileSync(other, 'utf8'));
    const copy = path.join(temporaryFolder('copy'), 'copy.crt');
    writeFileSync(copy, `a comment\n${readFileSync(one, 'utf8')}`);
    const sha = fingerprintsOf(one);
    const colons = sha.map((text) => text.toUpperCase().replace(/(..)(?=.)/g, '$1:'));
    const table: readonly [string, object | undefined, string | undefined, string][] = [
      ['never set up', undefined, undefined, 'unknown_broker'],
      ['never set up, with certificates', undefined, one, 'unknown_broker'],
      ['as set up', brokerOf(one, IDP), one, 'done'],
      ['as set up, without a flag', brokerOf(one, IDP), undefined, 'done'],
      ['the same in another file', brokerOf(one, IDP), copy, 'done'],
      ['as openssl writes it', { ca_sha256: colons, identity_provider: IDP }, copy, 'done'],
      ['others', brokerOf(one, IDP), other, 'unknown_broker'],
      ['one more', brokerOf(one, IDP), both, 'unknown_broker'],
      ['one of two', brokerOf(both, IDP), one, 'done'],
      ["the system's, and some more now", brokerOf(undefined, IDP), other, 'unknown_broker'],
      ["the system's", brokerOf(undefined, IDP), undefined, 'done'],
      ['of 0.4.0', { ca_file: one }, one, 'done'],
      ['of 0.4.0, elsewhere', { ca_file: one }, copy, 'done'],
      ['of 0.4.0, others', { ca_file: one }, other, 'unknown_broker'],
      ["of 0.4.0, with the system's", {}, undefined, 'done'],
      ["of 0.4.0, with the system's, and some more now", {}, other, 'unknown_broker'],
      ['no file at all', brokerOf(one, IDP), '/nowhere.crt', 'configuration'],
    ];
    for (const [name, known, ca_file, expected] of table) {
      const host = called();
      put(settings(host), { brokers: known === undefined ? {} : { [URL_HERE]: known } });
      assert.equal(
        codeOf(() => createClient(host, URL_HERE, ca_file)),
        expected,
        name,
      );
      const byHand = { ...host, env: { ...host.env, KUBERNETES_EXEC_INFO: undefined } };
      const wanted = expected === 'configuration' ? expected : 'done';
      assert.equal(
        codeOf(() => createClient(byHand, URL_HERE, ca_file)),
        wanted,
        `${name}, by hand`,
      );
    }
  });

  it('P13 whose file of certificates was exchanged since is not trusted', () => {
    const host = called();
    const file = path.join(host.home, 'ca.crt');
    writeFileSync(file, readFileSync(one));
    put(settings(host), { brokers: { [URL_HERE]: brokerOf(file, IDP) } });
    assert.equal(
      codeOf(() => createClient(host, URL_HERE, file)),
      'done',
    );
    writeFileSync(file, readFileSync(other));
    for (const flag of [file, undefined])
      assert.equal(
        codeOf(() => createClient(host, URL_HERE, flag)),
        'unknown_broker',
      );
  });

  it('P13 that an administrator names is trusted; one that anybody else could name is not, and that is said', () => {
    const host = called();
    const file = `${host.administrators.folder}/brokers.json`;
    const asked = (as: TestHost = host) => codeOf(() => createClient(as, URL_HERE, one));
    assert.equal(asked(), 'unknown_broker');
    put(file, { brokers: { [`${URL_HERE}/`]: { ca_file: one, identity_provider: IDP } } });
    assert.equal(asked(), 'done');
    assert.equal(
      codeOf(() => createClient(host, URL_HERE, other)),
      'unknown_broker',
    );
    assert.deepEqual(host.said, []);
    for (const [target, mode] of [
      [file, 0o666],
      [file, 0o620],
      [host.administrators.folder, 0o777],
      [host.home, 0o777],
    ] as const) {
      const before = lstatSync(target).mode & 0o7777;
      chmodSync(target, mode);
      // A group that nobody else is in is nobody else.
      if (mode !== 0o620) {
        assert.equal(asked(), 'unknown_broker', `${target} ${mode.toString(8)}`);
        assert.match(host.said.pop() ?? '', /brokers.json is not believed: .* can be written by others/);
      }
      chmodSync(target, before);
    }
    const stranger = { ...host, administrators: { ...host.administrators, uid: host.administrators.uid + 1 } };
    assert.equal(asked(stranger), 'unknown_broker');
    for (const text of ['{', '[]', 'null', '{}', '{"brokers": []}', '{"brokers": {"https://x": 1}}']) {
      writeFileSync(file, text);
      assert.equal(asked(), 'unknown_broker', text);
      assert.match(host.said.pop() ?? '', /is not believed/);
    }
  });

  it('P13 that names another identity provider is refused to kubectl, and shown to a person', () => {
    const metadata = { identity_provider: { issuer: 'https://other.example.com' } } as Metadata;
    const host = called();
    put(settings(host), { brokers: { [URL_HERE]: brokerOf(undefined, IDP) } });
    const asked = (as: TestHost) => ({
      ...{ host: as, url: URL_HERE, is_default: false, trusted: trust(as, readConfig(as), URL_HERE, undefined) },
    });
    const refused = (work: () => void) => {
      assert.throws(work, (error) => {
        assert.ok(error instanceof CurfewError);
        assert.equal(error.code, 'unknown_broker');
        assert.match(error.message, /https:\/\/other\.example\.com, before it was https:\/\/idp\.example\.com/);
        return true;
      });
    };
    refused(() => requireIdentityProvider(asked(host), metadata));
    const byHand = { ...host, env: { ...host.env, KUBERNETES_EXEC_INFO: undefined } };
    requireIdentityProvider(asked(byHand), metadata);
    assert.match(host.said.join(), /other\.example\.com, before it was https:\/\/idp\.example\.com/);
  });
});

describe('a file of certificates', () => {
  it('P11 that never ends, waits for a writer, is large or none at all is refused at once', async () => {
    const folder = temporaryFolder('files');
    const [fifo, large, link] = [`${folder}/fifo`, `${folder}/large`, `${folder}/link`];
    execFileSync('mkfifo', [fifo]);
    writeFileSync(large, Buffer.alloc(4 * 1024 * 1024 + 1, 0x20));
    symlinkSync('/dev/zero', link);
    const files = [fifo, large, link, '/dev/zero', folder, `${folder}/missing`, import.meta.filename];
    for (const file of files) {
      assert.equal(
        codeOf(() => fingerprintsOf(file)),
        'configuration',
        file,
      );
      assert.equal(
        codeOf(() => createClient(testHost(), URL_HERE, file)),
        'configuration',
        file,
      );
    }
    const { cli } = await buildBundles();
    const env = { PATH: process.env.PATH, HOME: folder };
    for (const command of [['setup'], ['login'], ['get-token', '--cluster', 'dev']])
      for (const file of [fifo, '/dev/zero']) {
        const words = [...command, '--broker', 'https://127.0.0.1:1', '--ca-file', file];
        put(`${folder}/.config/curfew/config.json`, { brokers: { 'https://127.0.0.1:1': { ca_file: file } } });
        const told = command[0] === 'get-token' ? BY_KUBECTL : {};
        const result = await run(process.execPath, [cli, ...words], { env: { ...env, ...told } });
        assert.equal(result.code, 78, `${command[0]} ${file}: ${result.stderr}`);
        refusalOf(result);
      }
  });
});

describe('the folder of the settings', () => {
  const reader = { files: nodeFiles, uid: process.geteuid?.() };

  it("P13 is another than the usual one for kubectl's calls only where the usual one names it", () => {
    const host = testHost();
    const [usual, config] = [`${host.home}/.config/curfew`, `${host.home}/config`];
    const env = { ...host.env, ...BY_KUBECTL };
    assert.equal(configDirectory(host.env, reader), config);
    assert.equal(configDirectory(env, reader), usual);
    writeConfig(host, { brokers: {} });
    assert.equal(configDirectory(env, reader), config);
    assert.equal(configDirectory({ ...env, CURFEW_CONFIG_DIR: `${host.home}/evil` }, reader), usual);
    assert.equal(configDirectory({ ...env, CURFEW_CONFIG_DIR: 'relative' }, reader), usual);
    const elsewhere = { ...env, CURFEW_CONFIG_DIR: undefined, XDG_CONFIG_HOME: `${host.home}/evil` };
    assert.equal(configDirectory(elsewhere, reader), usual);
    assert.equal(configDirectory({ ...env, HOME: undefined }, reader), undefined);
    for (const text of ['{', '[]', '{"folders": "x"}', '{"folders": [1, null]}']) {
      writeFileSync(`${usual}/folders.json`, text);
      assert.equal(configDirectory(env, reader), usual, text);
    }
    writeFileSync(`${usual}/folders.json`, JSON.stringify({ folders: [config] }));
    assert.equal(configDirectory(env, reader), config);
    chmodSync(`${usual}/folders.json`, 0o666);
    assert.equal(configDirectory(env, reader), usual, 'others could have written it');
  });
});

describe('what others could change', () => {
  const uid = process.geteuid?.();

  /** Each makes one thing on the way to `<home>/link/curfew/bin` another's, or open. */
  function places(): readonly { name: string; bin: string; config: string }[] {
    const make = (change: (at: { home: string; folder: string; bin: string }) => void, name: string, ours = '') => {
      const home = temporaryFolder('place');
      const folder = `${home}/there/curfew`;
      mkdirSync(`${folder}/bin`, { recursive: true, mode: 0o700 });
      writeFileSync(`${folder}/config.json`, '{"brokers": {}}', { mode: 0o600 });
      symlinkSync('there', `${home}/link`);
      change({ home, folder, bin: `${folder}/bin` });
      const config = `${home}/${ours || 'there'}/curfew`;
      return { name, bin: `${config}/bin`, config };
    };
    const others = [
      make(({ folder }) => chmodSync(folder, 0o777), 'the folder is open'),
      make(({ home }) => chmodSync(`${home}/there`, 0o777), 'its parent is open'),
      make(({ home }) => chmodSync(`${home}/there`, 0o777), 'its parent behind a link is open', 'link'),
      make(({ home }) => chmodSync(home, 0o757), 'where the link stands is open', 'link'),
      make(({ home }) => chmodSync(home, 0o777), 'a parent above is open'),
    ];
    if (!ROOT) return others;
    return [
      ...others,
      make(({ folder }) => chownSync(folder, 12345, 12345), "the folder is another's"),
      make(({ home }) => chownSync(`${home}/there`, 12345, 12345), "its parent is another's", 'link'),
      make(({ home }) => lchownSync(`${home}/link`, 12345, 12345), "the link is another's", 'link'),
      make(({ folder }) => {
        chownSync(folder, 0, 12345);
        chmodSync(folder, 0o770);
      }, 'a group with others may write'),
    ];
  }
  it('P14 is found on the whole way, behind links too', () => {
    const found = places();
    assert.ok(found.length >= 5);
    for (const { name, bin } of found)
      assert.match(faultOfPlace(bin, uid) ?? '', /can be written by others|belongs to another user/, name);
    const good = temporaryFolder('good');
    symlinkSync(good, `${good}/link`);
    for (const place of [good, `${good}/link/link/new/folder`, '/']) assert.equal(faultOfPlace(place, uid), undefined);
    symlinkSync('round', `${good}/round`);
    assert.match(faultOfPlace(`${good}/round`, uid) ?? '', /too many links/);
    const sticky = `${good}/sticky`;
    mkdirSync(sticky);
    chmodSync(sticky, 0o1777);
    assert.equal(faultOfPlace(`${sticky}/ours`, uid), undefined);
    assert.ok(faultOfPlace(sticky, uid), 'such a folder itself is no place for settings');
  });

  it('P14 stops setup, is not a place for a launcher, and no settings from there are believed', () => {
    for (const { name, bin, config } of places()) {
      const host = testHost({ CURFEW_CONFIG_DIR: config });
      const before = readdirSync(bin);
      assert.equal(
        codeOf(() => requireOwnPlace(host, bin)),
        'configuration',
        name,
      );
      assert.equal(
        codeOf(() => readConfig(host)),
        'configuration',
        name,
      );
      assert.equal(
        codeOf(() => writeConfig(host, { brokers: {} })),
        'configuration',
        name,
      );
      assert.equal(
        codeOf(() => writeLauncher(host)),
        'configuration',
        name,
      );
      assert.deepEqual(readdirSync(bin), before, name);
    }
    const host = testHost();
    mkdirSync(`${host.home}/config/bin`, { recursive: true, mode: 0o700 });
    chmodSync(`${host.home}/config/bin`, 0o777);
    assert.equal(
      codeOf(() => writeLauncher(host)),
      'configuration',
    );
  });

  it('P14 settings that others own or can write are not believed', () => {
    const host = testHost();
    const file = `${host.home}/config/config.json`;
    put(file, { brokers: {} });
    for (const mode of [0o602, 0o606, 0o666, 0o644, 0o600]) {
      chmodSync(file, mode);
      assert.equal(
        codeOf(() => readConfig(host)),
        mode & 0o022 ? 'configuration' : 'done',
        mode.toString(8),
      );
    }
    if (!ROOT) return;
    chownSync(file, 12345, 12345);
    assert.equal(
      codeOf(() => readConfig(host)),
      'configuration',
    );
    // Behind a link too.
    put(`${host.home}/mine/config.json`, { brokers: {} });
    symlinkSync(file, `${host.home}/mine/link.json`);
    assert.match(faultOfPlace(`${host.home}/mine/link.json`, uid) ?? '', /uid 12345/);
  });
});

describe("another person's home", () => {
  const uid = process.geteuid?.() ?? 0;
  /** As if every file beneath `theirs` were of uid 12345. */
  const filesOf = (theirs: string) => ({
    lstat: (file: string) => {
      const stat = nodeFiles.lstat(file);
      return stat && (file === theirs || file.startsWith(`${theirs}/`)) ? { ...stat, uid: 12345 } : stat;
    },
  });

  it('P17 is not where our files go', () => {
    const [theirs, own] = [temporaryFolder('theirs'), temporaryFolder('own')];
    const given = { HOME: theirs, XDG_CACHE_HOME: `${theirs}/.cache`, CURFEW_CONFIG_DIR: '/elsewhere', PATH: '/bin' };
    const machine = { files: filesOf(theirs), uid };
    const { env, strange_home } = ownEnvironment(given, machine, () => own);
    assert.deepEqual(env, { HOME: own, CURFEW_CONFIG_DIR: '/elsewhere', PATH: '/bin' });
    assert.deepEqual(strange_home, { home: theirs, owner: 12345 });
    assert.equal(ownEnvironment(given, machine, () => undefined).env.HOME, undefined);
    assert.equal(ownEnvironment(given, machine, () => theirs).env.HOME, undefined);
    for (const HOME of [own, '/', `${own}/missing`, 'relative', undefined])
      assert.deepEqual(
        ownEnvironment({ HOME }, machine, () => own),
        { env: { HOME } },
      );
  });

  it('P17 setup stops there and says what to do', () => {
    const host = { ...testHost(), strange_home: { home: '/home/alice', owner: 1000 } };
    assert.throws(() => requireOwnPlace(host, `${host.home}/config`), {
      ...{ code: 'configuration', hint: /^run it without sudo; .*sudo -H kubectl curfew setup$/ },
    });
  });

  // Nobody else can give files away.
  if (ROOT) {
    it('P17 nothing is made in a folder of theirs', () => {
      const theirs = temporaryFolder('theirs');
      chownSync(theirs, 12345, 12345);
      const host = testHost();
      assert.match(makePrivateDirectory(`${theirs}/.cache/curfew`, host) ?? '', /another user \(uid 12345\)/);
      assert.deepEqual(readdirSync(theirs), []);
    });

    it('P17 as root with it: their settings stay, nothing there is root', async () => {
      const { cli } = await buildBundles();
      const theirs = temporaryFolder('theirs');
      put(`${theirs}/.config/curfew/config.json`, { brokers: { [URL_HERE]: {} }, default: URL_HERE });
      put(`${theirs}/.kube/config`, { apiVersion: 'v1', kind: 'Config' });
      const { code: given } = await run('chown', ['-R', '12345:12345', theirs]);
      assert.equal(given, 0);
      const all = () => readdirSync(theirs, { recursive: true }).map(String).sort();
      const before = [all(), readFileSync(`${theirs}/.config/curfew/config.json`, 'utf8')];
      const env = { PATH: process.env.PATH, HOME: theirs };
      const setup = await run(process.execPath, [cli, 'setup', '--broker', URL_HERE], { env });
      assert.equal(setup.code, 78, setup.stderr);
      assert.match(refusalOf(setup).hint, /^run it without sudo/);
      const words = ['get-token', '--broker', URL_HERE, '--cluster', 'dev'];
      const token = await run(process.execPath, [cli, ...words], { env: { ...env, ...BY_KUBECTL } });
      assert.equal(token.code, 77, token.stderr);
      assert.match(refusalOf(token).hint, /^run kubectl without sudo/);
      assert.deepEqual([all(), readFileSync(`${theirs}/.config/curfew/config.json`, 'utf8')], before);
      for (const name of all()) assert.equal(lstatSync(`${theirs}/${name}`).uid, 12345, name);
    });
  }
});

for (const via of ['native', 'Node.js'] as const)
  describe(`kubectl's call (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk({}, { via, known: false });
    });
    after(() => desk.stop());

    it('P13 for a broker that nobody set up opens no browser, asks nobody, and recommends nothing', async () => {
      for (const interactive of [true, false]) {
        const refused = await desk.getToken('dev', interactive);
        assert.equal(refused.code, 77, refused.stderr);
        const { error, hint } = refusalOf(refused);
        assert.match(error, /^the broker "127\.0\.0\.1:\d+" is not known here/);
        assert.doesNotMatch(hint, /127\.0\.0\.1/);
      }
      assert.deepEqual(desk.browser.visits(), []);
      assert.ok(!existsSync(`${desk.dir}/config/config.json`));
      for (const command of [['setup'], ['login']] as const) {
        const flags = ['--broker', desk.url, '--ca-file', desk.ca_file];
        const result = await desk.curfew([...command, ...flags], { KUBERNETES_EXEC_INFO: execInfo(true) });
        assert.equal(result.code, 77, `${command}: kubeconfig's args may name it: ${result.stderr}`);
      }
      assert.deepEqual(desk.browser.visits(), []);
    });

    it('P13 by a name that every object has is not one that was set up', async () => {
      for (const broker of ['constructor', '__proto__', 'toString', 'valueOf']) {
        for (const interactive of [true, false]) {
          const env = { KUBERNETES_EXEC_INFO: execInfo(interactive) };
          const refused = await desk.curfew(['get-token', '--broker', broker, '--cluster', 'dev'], env);
          assert.notEqual(refused.code, 0);
          assert.match(refusalOf(refused).error, /is not a URL$/);
        }
      }
      assert.deepEqual(desk.browser.visits(), []);
    });

    it('P13 works after setup, and renews for no other certificates', async () => {
      const set = await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file]);
      assert.equal(set.code, 0, set.stderr);
      credentialOf(await desk.getToken('dev', true));
      const foreign = await createCertificateAuthority(`${desk.dir}/foreign`, 'foreign');
      const words = ['get-token', '--broker', desk.url, '--cluster', 'prod', '--ca-file', foreign.caFile];
      const refused = await desk.curfew(words, { KUBERNETES_EXEC_INFO: execInfo(false) });
      assert.equal(refused.code, 77, refused.stderr);
      assert.match(refusalOf(refused).error, /other certificates/);
    });
  });
