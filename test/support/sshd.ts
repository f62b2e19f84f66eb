// A real OpenSSH server in namespaces of its own: with passwd, shadow and group of its own, `/etc/ssh` of its own, and all its processes gone
// with it. Nothing of the machine is changed, and an ordinary user can run it: all accounts are then one user.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, copyFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../scripts/run.ts';
import { until } from './patience.ts';
import { listenAnywhere } from './ports.ts';
import { type Running, startRunning } from './running.ts';
import { ensureSshd, type SshdPrograms } from './sshd_programs.ts';

/** Whether accounts can be different users here. */
const SEVERAL = process.getuid?.() === 0;
/** In namespaces: $0 is the server's folder. */
const MOUNTS = `set -e
mount --bind "$0/etc-ssh" /etc/ssh
for name in passwd shadow group; do mount --bind "$0/$name" "/etc/$name"; done
for place in /run /var/log; do mount -t tmpfs -o mode=755 own "$place"; done
mkdir -m 755 /run/sshd
exec "$@"`;

export interface SshServer {
  readonly folder: string;
  /** On every address of loopback. */
  readonly port: number;
  /** As in `known_hosts`, without the host. */
  readonly host_key: string;
  readonly programs: SshdPrograms;
  /** Runs rsync on the host, for `rsync --rsync-path`. */
  readonly rsync_path: string;
  home(account: string): string;
  /** Puts a file there, with `/etc/ssh/` before its name on the host. @param file an absolute path below it */
  put(file: string, text: string): Promise<void>;
  /** What `sshd -t` says of its configuration; nothing where it is good. */
  judge(): Promise<string>;
  start(): Promise<void>;
  /** Ends it with all of its sessions, and starts it again. */
  restart(): Promise<void>;
  /** What it has written so far. */
  log(): string;
  /** Command lines of the processes that serve somebody: `sshd: ...` of each session, and what runs in them. */
  processes(): readonly string[];
  stop(): Promise<void>;
}

/** Not started yet. @param accounts names of the host's accounts, beside root */
export async function makeSshServer(accounts: readonly string[]): Promise<SshServer> {
  const programs = await ensureSshd();
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-sshd-'));
  await chmod(folder, 0o755);
  const port = await freePort();
  await mkdir(path.join(folder, 'etc-ssh/sshd_config.d'), { recursive: true });
  await writeAccounts(folder, accounts);
  const keygen = await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', inSsh('host_key')]);
  if (keygen.code !== 0) throw new Error(keygen.stderr);
  const host_key = readFileSync(inSsh('host_key.pub'), 'utf8').trim();
  // Who logs in may not be let into the folders where these are.
  const libraries = path.join(folder, 'libraries');
  for (const one of programs.libraries) await cp(one, libraries, { recursive: true, dereference: true });
  const [sftp_server, rsync] = ['sftp-server', 'rsync-itself'].map((name) => path.join(folder, name)) as [
    string,
    string,
  ];
  await copyFile(programs.sftp_server, sftp_server);
  await copyFile(programs.rsync, rsync);
  const rsync_path = path.join(folder, 'rsync');
  await writeFile(rsync_path, `#!/bin/sh\nLD_LIBRARY_PATH=${libraries} exec ${rsync} "$@"\n`, { mode: 0o755 });
  await writeFile(
    inSsh('sshd_config'),
    `Include /etc/ssh/sshd_config.d/*.conf
ListenAddress 127.0.0.1:${port}
ListenAddress 127.0.0.2:${port}
HostKey /etc/ssh/host_key
UsePAM no
LogLevel VERBOSE
MaxStartups 200
PidFile none
Subsystem sftp ${sftp_server}
${SEVERAL ? '' : 'StrictModes no\n'}`,
  );
  const environment = { PATH: process.env.PATH, LD_LIBRARY_PATH: libraries };
  let running: Running | undefined;

  function inSsh(name: string): string {
    return path.join(folder, 'etc-ssh', name);
  }

  async function start(): Promise<void> {
    const started = startRunning(...inNamespaces(folder, [programs.sshd, '-D', '-e']), environment);
    running = started;
    // In whatever order it comes to them.
    for (const address of ['127\\.0\\.0\\.1', '127\\.0\\.0\\.2'])
      await started.says(new RegExp(`listening on ${address} port ${port}`));
  }

  return {
    ...{ folder, port, host_key, programs, rsync_path },
    home: (account) => homeOf(folder, account),
    async put(file, text) {
      const place = inSsh(path.relative('/etc/ssh', file));
      await mkdir(path.dirname(place), { recursive: true });
      await writeFile(place, text);
    },
    async judge() {
      const { code, stdout, stderr } = await run(...inNamespaces(folder, [programs.sshd, '-t']), { env: environment });
      return code === 0 ? '' : stdout + stderr || `exit ${code}`;
    },
    start,
    async restart() {
      await running?.kill();
      await start();
    },
    log: () => running?.stderr() ?? '',
    processes: () => (running ? below(running.pid).filter((line) => !line.includes(' -D -e')) : []),
    async stop() {
      await running?.kill();
      running = undefined;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** @returns a command that runs another with its own accounts, `/etc/ssh` and processes */
function inNamespaces(folder: string, command: readonly string[]): [string, string[]] {
  const spaces = ['-mpf', '--kill-child', '--mount-proc', ...(SEVERAL ? [] : ['-Ur'])];
  // Who is root in a namespace of one user alone cannot become anybody, and sshd would: it is run as who we are, who need not.
  const as = SEVERAL ? [] : ['unshare', '-U', `--map-user=${process.getuid?.()}`, `--map-group=${process.getgid?.()}`];
  return ['unshare', [...spaces, 'sh', '-c', MOUNTS, folder, ...as, ...command]];
}

async function writeAccounts(folder: string, accounts: readonly string[]): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const people = accounts.map((name, i) => ({
    name,
    uid: SEVERAL ? 20_001 + i : uid,
    gid: SEVERAL ? 20_001 + i : gid,
  }));
  const system = [
    ...(SEVERAL ? [{ name: 'sshd', uid: 20_000, gid: 20_000, home: '/run/sshd', shell: '/usr/sbin/nologin' }] : []),
    ...(uid === 0 || SEVERAL ? [{ name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' }] : []),
  ];
  const all = [
    ...people.map((person) => ({ ...person, home: homeOf(folder, person.name), shell: '/bin/sh' })),
    ...system,
  ];
  const write = (name: string, texts: readonly string[], mode: number) =>
    writeFile(path.join(folder, name), texts.map((text) => `${text}\n`).join(''), { mode });
  await write(
    'passwd',
    all.map((one) => [one.name, 'x', one.uid, one.gid, '', one.home, one.shell].join(':')),
    0o644,
  );
  await write(
    'group',
    all.map(({ name, gid: id }) => `${name}:x:${id}:`),
    0o644,
  );
  // Without a password, and not locked: sshd refuses accounts that are (`!`).
  await write(
    'shadow',
    all.map(({ name }) => `${name}:*:20000:0:99999:7:::`),
    0o600,
  );
  for (const { name, ...ids } of people) {
    const home = homeOf(folder, name);
    mkdirSync(home, { recursive: true, mode: 0o755 });
    if (SEVERAL) await chown(home, ids.uid, ids.gid);
  }
}

function homeOf(folder: string, account: string): string {
  return path.join(folder, 'home', account);
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenAnywhere(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Command lines of all that descends from a process. */
function below(pid: number): readonly string[] {
  const found = readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') return [];
      const line = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ id: Number(name), parent: Number(parent), line }];
    } catch {
      // Gone meanwhile.
      return [];
    }
  });
  const ids = new Set([pid]);
  for (let before = 0; before < ids.size; ) {
    before = ids.size;
    for (const { id, parent } of found) if (ids.has(parent)) ids.add(id);
  }
  return found.filter(({ id }) => id !== pid && ids.has(id)).map(({ line }) => line);
}

/** Waits until no process of a session is left on the host. */
export async function untilNobody(server: Pick<SshServer, 'processes'>): Promise<void> {
  await until(() => server.processes().length === 0, `processes are left: ${server.processes().join(' | ')}`);
}
