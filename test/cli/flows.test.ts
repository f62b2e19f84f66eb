// Which way a login goes: by itself, as set, as asked; and what cannot be had.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { chooseFlow, type Surroundings } from '../../cli/login/flow.ts';
import { type Desk, openDesk, refusalOf } from './desk.ts';

describe('the choice of a flow', () => {
  const X11 = { DISPLAY: ':0' };
  const SSH = { SSH_CONNECTION: '10.0.0.1 1 10.0.0.2 22' };
  const WSL = { WSL_DISTRO_NAME: 'Debian', PATH: '/usr/bin:/mnt/c/Windows/System32' };
  const cases: readonly (readonly [string, Partial<Surroundings>, string])[] = [
    ['a desktop on Linux', { env: X11 }, 'browser'],
    ['Wayland', { env: { WAYLAND_DISPLAY: 'wayland-0' } }, 'browser'],
    ['macOS', { platform: 'darwin' }, 'browser'],
    ['Windows', { platform: 'win32' }, 'browser'],
    ['a BROWSER, wherever it is', { env: { ...SSH, BROWSER: 'code --open-url' } }, 'browser'],
    ['SSH, with the device grant', { env: SSH, device: true }, 'device'],
    ['SSH, without', { env: SSH }, 'paste'],
    ['SSH with X11 forwarded: its loopback is not the browser’s', { env: { ...SSH, ...X11 } }, 'paste'],
    ['SSH into a Mac', { env: SSH, platform: 'darwin', device: true }, 'device'],
    ['a container', { exists: (path) => path === '/.dockerenv', env: X11 }, 'paste'],
    ['a pod', { env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, device: true }, 'device'],
    ['a dev container', { env: { REMOTE_CONTAINERS: 'true' } }, 'paste'],
    ['WSL without a browser', { env: WSL, device: true }, 'device'],
    ['WSL with wslview', { env: WSL, exists: (path) => path === '/usr/bin/wslview' }, 'browser'],
    ['WSL with Windows in PATH', { env: WSL, exists: (path) => path.endsWith('/System32/rundll32.exe') }, 'browser'],
    ['Linux without a screen', { device: true }, 'device'],
    ['Linux with nothing at all', {}, 'paste'],
  ];
  for (const [what, surroundings, flow] of cases) {
    it(`${what}: ${flow}`, () => {
      const given: Surroundings = { env: {}, platform: 'linux', exists: () => false, device: false, ...surroundings };
      assert.equal(chooseFlow(given), flow);
    });
  }
});

describe('a flow that is named', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());
  const login = (args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) =>
    desk.curfew(['login', '--broker', desk.url, '--ca-file', desk.ca_file, ...args], env);

  it('device, where the broker takes no codes: exit 78, why, and the way out', async () => {
    const result = await login(['--flow', 'device']);
    assert.equal(result.code, 78);
    const { error, hint } = refusalOf(result);
    assert.match(error, /^--flow device: the broker does not take logins by device code/);
    assert.match(hint, /--flow paste/);
  });

  it('device, where the identity provider has no such grant: exit 78, and why', async () => {
    const other = await openDesk({}, { identityProvider: { device_grant: true } });
    const args = ['login', '--flow', 'device', '--broker', other.url, '--ca-file', other.ca_file];
    const result = await other.curfew(args).finally(() => other.stop());
    assert.equal(result.code, 78);
    assert.match(refusalOf(result).error, /^--flow device: the identity provider has no device grant$/);
  });

  it('paste, without anybody who could: exit 77, at once', async () => {
    const result = await login(['--flow', 'paste']);
    assert.equal(result.code, 77);
    assert.equal(refusalOf(result).error, 'nothing was pasted');
  });

  it('in config.json comes before the choice, and --flow before it', async () => {
    mkdirSync(`${desk.dir}/config`, { recursive: true, mode: 0o700 });
    writeFileSync(`${desk.dir}/config/config.json`, JSON.stringify({ brokers: {}, flow: 'paste' }), { mode: 0o600 });
    const visits = desk.browser.visits().length;
    assert.equal(refusalOf(await login([])).error, 'nothing was pasted');
    assert.equal(desk.browser.visits().length, visits);
    assert.equal((await login(['--flow', 'browser'])).code, 0);
    assert.equal(desk.browser.visits().length, visits + 1);
    assert.ok(existsSync(`${desk.dir}/config/sessions`));
  });
});
