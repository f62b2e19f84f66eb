// `doctor` on set-ups that are broken, each in one way: it names the cause, and what to do.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { examine } from '../../cli/commands/doctor.ts';
import { CHECKS, type Check } from '../../cli/doctor/check.ts';
import type { Host } from '../../cli/host/host.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { credentialOf, type Desk, openDesk } from './desk.ts';
import { temporaryFolder, testHost } from './host.ts';
import { startKeyring } from './keyring.ts';

/** As kubectl of a version says it. */
const kubectl = (minor: string) =>
  `#!/bin/sh\necho '{"clientVersion": {"major": "1", "minor": "${minor}", "gitVersion": "v1.${minor}.0"}}'\n`;

describe('doctor', () => {
  let desk: Desk;
  let env: Readonly<Record<string, string>>;
  let config: string;
  let bin: string;
  before(async () => {
    desk = await openDesk();
    config = path.join(desk.dir, 'config');
    bin = path.join(desk.dir, 'programs');
    mkdirSync(bin);
    writeFileSync(path.join(bin, 'kubectl'), kubectl('37'), { mode: 0o755 });
    env = { ...desk.env, PATH: `${bin}:${config}/bin`, HOME: desk.dir };
    const setup = await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file]);
    assert.equal(setup.code, 0, setup.stderr);
    credentialOf(await desk.getToken('dev', true));
  });
  after(() => desk.stop());

  const look = (more: Readonly<Record<string, string>> = {}, host: Partial<Host> = {}) =>
    examine({ ...testHost({ ...env, ...more }), ...host });
  const cause = (checks: readonly Check[]): [string | undefined, string] => {
    const fault = checks.find(({ ok }) => ok === false);
    assert.ok(fault === undefined || (fault.todo ?? '') !== '', 'a fault without what to do');
    return [fault?.name, `${fault?.says} -- ${fault?.todo}`];
  };
  /** It, and nothing else: what is only a consequence is not blamed. @param also true as well in this set-up */
  const assertCause = (checks: readonly Check[], name: string, words: RegExp, also: readonly string[] = []) => {
    const faults = checks.filter(({ ok }) => ok === false);
    assert.deepEqual(
      faults.map((one) => one.name),
      [name, ...also],
      JSON.stringify(faults),
    );
    assert.match(cause(checks)[1], words);
  };
  /** Another content while it is looked at. */
  const withFile = async (file: string, content: string, work: () => Promise<void>) => {
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, content);
    try {
      await work();
    } finally {
      writeFileSync(file, before);
    }
  };

  it('finds nothing where all is well, through the program itself too', async () => {
    const checks = await look();
    assert.deepEqual(cause(checks)[0], undefined, JSON.stringify(checks, null, 1));
    assert.deepEqual(new Set(checks.map(({ name }) => name)), new Set(CHECKS));
    const { code, stdout } = await desk.curfew(['doctor', '-o', 'json'], env);
    assert.deepEqual([code, JSON.parse(stdout).ok], [0, true]);
    const said = await desk.curfew(['doctor'], { ...env, PATH: `${config}/bin` });
    assert.equal(said.code, 1);
    assert.match(said.stdout, /^FAULT {2}kubectl .*\n +do: install kubectl/m);
  });

  it('settings that cannot be read', () =>
    withFile(path.join(config, 'config.json'), '{', async () => assertCause(await look(), 'settings', /config\.json/)));

  it('no broker that was set up', () =>
    withFile(path.join(config, 'config.json'), '{}', async () =>
      assertCause(await look(), 'settings', /setup --broker/),
    ));

  it('a launcher that is gone', async () => {
    renameSync(path.join(config, 'bin'), path.join(config, 'moved'));
    assertCause(await look(), 'launcher', /is not there -- run: kubectl-curfew setup/);
    renameSync(path.join(config, 'moved'), path.join(config, 'bin'));
  });

  it('a folder of the launcher that others can write', async () => {
    chmodSync(path.join(config, 'bin'), 0o777);
    assertCause(await look(), 'launcher', /can be written by others/);
    chmodSync(path.join(config, 'bin'), 0o700);
  });

  it('a Node.js that is gone', () =>
    withFile(path.join(config, 'bin/kubectl-curfew.full'), '/nowhere/node\n/nowhere/curfew.cjs\n', async () =>
      assertCause(await look(), 'launcher', /Node\.js is gone: no \/nowhere\/node/),
    ));

  it('no kubectl in PATH', async () =>
    assertCause(await look({ PATH: `${config}/bin` }), 'kubectl', /is not found -- install kubectl/));

  it('a kubectl that is too old', () =>
    withFile(path.join(bin, 'kubectl'), kubectl('20+'), async () =>
      assertCause(await look(), 'kubectl', /v1beta1 alone -- .*--exec-api-version v1beta1/),
    ));

  it('the plugin not in PATH', async () =>
    assertCause(await look({ PATH: bin }), 'plugin', /export PATH="\$PATH:.*\/config\/bin"/));

  it('a kuberc that does not allow it, in the words of this kubectl', async () => {
    const file = path.join(desk.dir, 'kuberc');
    const head = 'apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\ncredentialPluginPolicy: Allowlist\n';
    writeFileSync(file, `${head}credentialPluginAllowlist:\n- name: /usr/bin/other\n`);
    const launcher = `${config}/bin/kubectl-curfew`;
    assertCause(await look({ KUBERC: file }), 'kuberc', new RegExp(`- command: ${launcher}, or: kubectl-curfew setup`));
    await withFile(path.join(bin, 'kubectl'), kubectl('35'), async () =>
      assertCause(await look({ KUBERC: file }), 'kuberc', new RegExp(`- name: ${launcher}, or: kubectl-curfew setup`)),
    );
    await withFile(path.join(bin, 'kubectl'), kubectl('34'), async () =>
      assert.equal(cause(await look({ KUBERC: file }))[0], undefined),
    );
    const setup = ['setup', '--broker', desk.url, '--ca-file', desk.ca_file];
    const told = await desk.curfew(setup, { ...env, KUBERC: file });
    assert.match(
      told.stdout,
      new RegExp(
        `\nkuberc does not let kubectl run this plugin yet:\n  .*- command: ${launcher}, or: .*--write-kuberc\nnext:`,
      ),
    );
    writeFileSync(file, `${head}credentialPluginAllowlist:\n- name: ${launcher}\n`);
    assert.equal(cause(await look({ KUBERC: file }))[0], undefined);
  });

  it('a kubeconfig without an entry of ours, and one that calls what is gone', async () => {
    const file = path.join(desk.dir, 'kubeconfig');
    const text = readFileSync(file, 'utf8');
    await withFile(file, 'apiVersion: v1\nkind: Config\n', async () =>
      assertCause(await look(), 'kubeconfig', /no user calls this plugin/),
    );
    const elsewhere = text.replaceAll(`${config}/bin/kubectl-curfew`, '/nowhere/kubectl-curfew');
    assert.notEqual(elsewhere, text);
    await withFile(file, elsewhere, async () =>
      assertCause(await look(), 'kubeconfig', /calls \/nowhere\/kubectl-curfew, which is not there/),
    );
  });

  it('a cache that is open to others', async () => {
    const cache = path.join(desk.dir, 'cache');
    chmodSync(cache, 0o755);
    assertCause(await look(), 'cache', /is open to others.* -- chmod 0700/);
    chmodSync(cache, 0o700);
  });

  it('a keychain that is wanted, and is not there', () =>
    withFile(path.join(config, 'config.json'), withSetting('secret_storage', 'keychain'), async () =>
      assertCause(await look({ DBUS_SESSION_BUS_ADDRESS: '' }), 'keychain', /there is no keychain/),
    ));

  it("a proxy's address that is not one, and a proxy that is not there", async () => {
    const remote = (proxy: string) =>
      examine(testHost({ ...env, HTTPS_PROXY: proxy, NO_PROXY: '' }), 'https://curfew.example.com');
    assertCause(await remote('socks5://127.0.0.1:1'), 'proxy', /HTTPS_PROXY/);
    assertCause(await remote('http://127.0.0.1:9'), 'proxy', /127\.0\.0\.1:9, of HTTPS_PROXY: it cannot be reached/);
    // What goes to this machine goes to none.
    assert.equal(cause(await look({ HTTPS_PROXY: 'http://127.0.0.1:9' }))[0], undefined);
  });

  it('a certificate that is over, told apart from one that is not trusted', async () => {
    const bent = { LD_PRELOAD: '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1', FAKETIME: '-60d' };
    const old = await createCertificateAuthority(path.join(desk.dir, 'old-ca'), undefined, bent);
    const { certFile, keyFile } = await old.issue({ name: 'over', hosts: ['127.0.0.1'], days: 30 });
    const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (_, response) =>
      response.end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const settings = JSON.parse(readFileSync(path.join(config, 'config.json'), 'utf8'));
    settings.brokers[url] = { ca_file: old.caFile };
    await withFile(path.join(config, 'config.json'), JSON.stringify(settings), async () =>
      assertCause(await examine(testHost(env), url), 'certificate', /^over since .* -- ask who runs the broker/),
    );
    server.close();
  });

  it('a keychain that is locked, with the session in it', async () => {
    const keyring = await startKeyring(temporaryFolder('keyring'));
    const own = { ...env, ...keyring.env, CURFEW_CACHE_DIR: path.join(desk.dir, 'keychain-cache') };
    const file = path.join(config, 'config.json');
    try {
      await withFile(file, withSetting('secret_storage', 'keychain'), async () => {
        assert.equal((await desk.curfew(['login', '--flow', 'browser'], own)).code, 0);
        assert.equal(cause(await look(own))[0], undefined);
        await keyring.lock();
        assertCause(await look(own), 'keychain', /it is locked, and your session is in it -- unlock it/);
      });
    } finally {
      await keyring.stop();
    }
    assert.equal((await desk.curfew(['login', '--flow', 'browser'], env)).code, 0);
  });

  it('an entry of kubeconfig of an older form', async () => {
    const file = path.join(desk.dir, 'kubeconfig');
    const older = readFileSync(file, 'utf8').replaceAll(/ {6}env:\n {6}- name: KUBERNETES_EXEC_INFO\n.*\n/g, '');
    await withFile(file, older, async () =>
      assertCause(await look(), 'kubeconfig', /as an earlier version wrote it.* -- run: kubectl-curfew setup/),
    );
  });

  it('a clock that is off by minutes', async () => {
    const off = (seconds: number) => ({ now: () => (Math.floor(Date.now() / 1000) + seconds) as never });
    assertCause(await look({}, off(300)), 'clock', /^5m.* ahead of the broker's -- set the clock/);
    assertCause(await look({}, off(-300)), 'clock', /^5m.* behind the broker's/);
  });

  it('a broker of which the certificate is of an issuer that is not known', async () => {
    const other = await createCertificateAuthority(path.join(desk.dir, 'other-ca'));
    const settings = JSON.parse(readFileSync(path.join(config, 'config.json'), 'utf8'));
    const { identity_provider } = settings.brokers[desk.url];
    settings.brokers[desk.url] = { ca_file: other.caFile, identity_provider };
    await withFile(path.join(config, 'config.json'), JSON.stringify(settings), async () =>
      assertCause(await look(), 'broker', /its certificate is not trusted.*--ca-file/),
    );
  });

  it('a certificate that is over soon, and a clock that is wrong', async () => {
    const later = (seconds: number) => ({ now: () => (Math.floor(Date.now() / 1000) + seconds) as never });
    const checks = await look({}, later(3_600));
    assertCause(checks, 'clock', /^1h.* ahead of the broker's -- set the clock/);
    assert.match(cause(await look({}, later(-3_600)))[1], /behind the broker's/);
    assertCause(await look({}, later(6.5 * 86_400)), 'certificate', /^soon over: until /, ['clock']);
    assertCause(await look({}, later(100 * 365 * 86_400)), 'certificate', /^over since /, ['clock']);
  });

  it('an identity provider that is not the one of before', () => {
    const settings = JSON.parse(readFileSync(path.join(config, 'config.json'), 'utf8'));
    settings.brokers[desk.url].identity_provider = 'https://elsewhere.example.com';
    return withFile(path.join(config, 'config.json'), JSON.stringify(settings), async () =>
      assertCause(await look(), 'identity_provider', /when it was set up it was https:\/\/elsewhere/),
    );
  });

  it('a renewal in the background that failed', async () => {
    const file = path.join(desk.dir, 'cache/background.json');
    const fault = { at: 1_800_000_000, broker: desk.url, cluster: 'dev', code: 'busy', message: 'too late' };
    writeFileSync(file, JSON.stringify(fault), { mode: 0o600 });
    assertCause(await look(), 'background', /failed .*: too late/);
    rmSync(file);
  });

  it('an identity provider that is away, a broker that is away, and nobody logged in', async () => {
    await desk.idp.stop();
    assertCause(await look(), 'identity_provider', /out of reach|identity provider/);
    assert.equal((await desk.curfew(['logout'], env)).code, 0);
    const logged = (await look()).filter(({ ok }) => ok === false).map(({ name }) => name);
    assert.deepEqual(logged, ['identity_provider', 'session']);
    await desk.stopBroker();
    assertCause(await look(), 'broker', /is out of reach/);
  });

  function withSetting(name: string, value: string): string {
    return JSON.stringify({ ...JSON.parse(readFileSync(path.join(config, 'config.json'), 'utf8')), [name]: value });
  }
});
