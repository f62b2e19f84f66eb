// A real keychain for tests: gnome-keyring on a session bus of its own, unlocked by a password.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { run } from '../../scripts/run.ts';
import { until } from '../support/patience.ts';

export interface Keyring {
  /** For the program under test. */
  readonly env: Readonly<Record<string, string>>;
  /** The keyring is locked, and nobody is there to unlock it. */
  lock(): Promise<void>;
  /** It answers no more, and again. */
  hang(): void;
  resume(): void;
  stop(): Promise<void>;
}

const COLLECTION = '/org/freedesktop/secrets/collection/login';

/** A session bus that starts no services by itself: asked too early, it would start a second keyring, which nobody unlocks. */
const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;

export async function startKeyring(dir: string): Promise<Keyring> {
  const runtime = `${dir}/runtime`;
  mkdirSync(runtime, { recursive: true, mode: 0o700 });
  const home = { HOME: dir, XDG_RUNTIME_DIR: runtime, XDG_DATA_HOME: `${dir}/data`, PATH: process.env.PATH ?? '' };
  const config = `${dir}/bus.conf`;
  writeFileSync(config, BUS);
  const bus = spawn('dbus-daemon', [`--config-file=${config}`, '--nofork', '--nopidfile', '--print-address=1'], {
    env: home,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [address] = await once(bus.stdout, 'data');
  const env = { XDG_RUNTIME_DIR: runtime, DBUS_SESSION_BUS_ADDRESS: String(address).trim() };
  const daemon = spawn('gnome-keyring-daemon', ['--foreground', '--unlock', '--components=secrets'], {
    env: { ...home, ...env },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  daemon.stdin.end('password');
  const call = (...args: readonly string[]) =>
    run('dbus-send', ['--session', '--dest=org.freedesktop.secrets', '--print-reply', ...args], {
      env: { ...home, ...env },
    });
  // Not only there: its first keyring is made (which takes a busy machine a while) and open.
  const asked = ['org.freedesktop.DBus.Properties.Get', 'string:org.freedesktop.Secret.Collection', 'string:Locked'];
  await until(async () => {
    const { code, stdout } = await call(COLLECTION, ...asked);
    return code === 0 && stdout.includes('boolean false');
  }, 'gnome-keyring did not start');
  return {
    env,
    async lock() {
      const method = 'org.freedesktop.Secret.Service.Lock';
      const { code, stderr } = await call('/org/freedesktop/secrets', method, `array:objpath:${COLLECTION}`);
      if (code !== 0) throw new Error(`not locked: ${stderr}`);
    },
    hang: () => void daemon.kill('SIGSTOP'),
    resume: () => void daemon.kill('SIGCONT'),
    async stop() {
      for (const child of [daemon, bus]) await end(child);
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'exit');
  child.kill('SIGKILL');
  await closed;
}
