// What of this machine the plugin needs: kubectl, the launcher and its folder, the cache, a keychain, what is in kubeconfig.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import { memberOf, parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import { readAllowed } from '../audit/kuberc.ts';
import { readConfig, requireOwnPlace } from '../host/config.ts';
import { cacheDirectoryOf, configDirectoryOf, type Host } from '../host/host.ts';
import { launcherOf } from '../host/launcher.ts';
import { callOf, INFO } from '../kubeconfig/entries.ts';
import { kubeconfigFiles, readKubeconfig } from '../kubeconfig/kubeconfig.ts';
import type { PluginField } from '../kubeconfig/kuberc_text.ts';
import { hasKeychain } from '../secrets/keychain.ts';
import { isLocked } from '../secrets/open_keychain.ts';
import { rememberedFault } from '../secrets/probe.ts';
import { lastBackgroundFault } from '../session/background.ts';
import { listRecords, readRecord } from '../session/record.ts';
import { sayInstant } from '../warm/instant.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { faultOfDirectory } from '../warm/read_cache.ts';
import type { Config } from '../warm/settings.ts';
import { VERSION } from '../warm/version.ts';
import { type Check, fine, unseen, wrong, wrongBy } from './check.ts';

const LONGEST_MS = 10_000;
const SETUP = 'kubectl-curfew setup --broker URL';

/** @returns the settings as well, where they can be read */
export function checkSettings(host: Host): { readonly check: Check; readonly config?: Config } {
  try {
    const config = readConfig(host);
    const brokers = Object.keys(config.brokers);
    if (brokers.length === 0) return { check: wrong('settings', 'no broker is set up', `run: ${SETUP}`), config };
    return { check: fine('settings', `${configDirectoryOf(host)}: ${brokers.join(', ')}`), config };
  } catch (error) {
    return { check: wrongBy('settings', error) };
  }
}

export async function checkLauncher(host: Host): Promise<Check> {
  const file = launcherOf(host);
  try {
    requireOwnPlace(host, file.slice(0, file.lastIndexOf('/')));
  } catch (error) {
    return wrongBy('launcher', error);
  }
  const again = `run: ${SETUP}`;
  if (!existsSync(file)) return wrong('launcher', `${file} is not there`, again);
  // The native program says its version itself; this is the full one's.
  const said = await outputOf(host, file, ['--help']);
  if (said.fault !== undefined) return wrong('launcher', `${file} does not run: ${said.fault}`, again);
  const version = (await outputOf(host, file, ['--version'])).output ?? '';
  const [, found] = /^kubectl-curfew (\S+) /.exec(version) ?? [];
  if (found !== VERSION)
    return wrong('launcher', `${file} is of version ${found ?? 'unknown'}, this is ${VERSION}`, again);
  return fine('launcher', `${file}, ${version.trim().replace(/^kubectl-curfew /, '')}`);
}

/** kubectl before this knows no v1 of client.authentication.k8s.io. */
const OLDEST_MINOR = 22;
/** From here on kuberc can forbid plugins, and names them by `name`; then by `command`. */
const KUBERC_MINOR = 35;
const COMMAND_MINOR = 37;

/** @returns the minor version as well, where it is known */
export async function checkKubectl(
  host: Pick<Host, 'env'>,
): Promise<{ readonly check: Check; readonly minor?: number }> {
  const { output, fault } = await outputOf(host, 'kubectl', ['version', '--client', '-o', 'json']);
  if (output === undefined) {
    const todo = 'install kubectl, or put its folder into PATH';
    return { check: wrong('kubectl', `kubectl does not run: ${fault}`, todo) };
  }
  const value = parseJson(output);
  const version = isObject(value) && isObject(value.clientVersion) ? value.clientVersion : {};
  const minor = Number(/^\d+/.exec(String(version.minor))?.[0]);
  const name = String(version.gitVersion);
  if (!Number.isInteger(minor))
    return { check: wrong('kubectl', 'kubectl does not say its version', 'install another') };
  if (minor < OLDEST_MINOR) {
    const todo = `take a newer one, or run: ${SETUP} --exec-api-version v1beta1`;
    return { check: wrong('kubectl', `${name} speaks client.authentication.k8s.io/v1beta1 alone`, todo), minor };
  }
  return { check: fine('kubectl', name), minor };
}

export function checkPlugin(host: Host): Check {
  const suffix = host.platform === 'win32' ? '.cmd' : '';
  const folders = (host.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const found = folders.map((folder) => `${folder}/kubectl-curfew${suffix}`).find((file) => existsSync(file));
  if (found !== undefined) return fine('plugin', found);
  const folder = launcherOf(host).replace(/\/[^/]*$/, '');
  return wrong('plugin', '"kubectl curfew" is not found in PATH', `export PATH="$PATH:${folder}"`);
}

/** Whether a kubectl of this version reads in kuberc which plugins it may run. */
export function readsKuberc(minor: number | undefined): boolean {
  return minor === undefined || minor >= KUBERC_MINOR;
}

/** How it names them there; which is not known, newer ones read `name` too. */
export function fieldOf(minor: number | undefined): PluginField {
  return minor === undefined || minor < COMMAND_MINOR ? 'name' : 'command';
}

export function checkKuberc(host: OwnFiles & Pick<Host, 'platform'>, minor: number | undefined): Check {
  const allowed = readAllowed(host);
  const file = launcherOf(host);
  if (!readsKuberc(minor)) return fine('kuberc', 'this kubectl asks none for plugins');
  if (allowed.policy === 'AllowAll') return fine('kuberc', 'allows all plugins');
  if (allowed.policy === 'Allowlist' && allowed.has(file)) return fine('kuberc', `allows ${file}`);
  const todo = `in kuberc, credentialPluginPolicy: Allowlist, and in credentialPluginAllowlist: - ${fieldOf(minor)}: ${file}, or: kubectl-curfew setup --broker URL --write-kuberc`;
  return wrong('kuberc', `does not let kubectl run ${file} (${allowed.policy})`, todo);
}

export function checkKubeconfig(host: Host, config: Config): Check {
  try {
    const files = kubeconfigFiles(host, undefined).filter((file) => existsSync(file));
    const read = files.map((file) => readKubeconfig(file));
    const users = read.flatMap((text) => text.entries('users'));
    const ours = users.flatMap((entry) => {
      const user = isObject(entry) && isObject(entry.user) ? entry.user : {};
      const call = callOf(user);
      const exec = isObject(user.exec) ? user.exec : {};
      const tells = Array.isArray(exec.env) && exec.env.some((one: unknown) => isObject(one) && one.name === INFO);
      return call
        ? [{ name: String(isObject(entry) ? entry.name : ''), call, command: String(exec.command), tells }]
        : [];
    });
    const gone = ours.find(({ command }) => command.startsWith('/') && !existsSync(command));
    if (gone?.command === launcherOf(host)) return unseen('kubeconfig', 'launcher');
    if (gone)
      return wrong('kubeconfig', `the user ${gone.name} calls ${gone.command}, which is not there`, `run: ${SETUP}`);
    const strange = ours.find(({ call }) => memberOf(config.brokers, call.broker ?? '') === undefined);
    if (strange) {
      const says = `the user ${strange.name} asks the broker ${strange.call.broker}, which was not set up here`;
      return wrong('kubeconfig', says, `take that user away, or run: ${SETUP}`);
    }
    const older = ours.find(({ tells }) => !tells);
    if (older)
      return wrong(
        'kubeconfig',
        `the user ${older.name} is as an earlier version wrote it: programs other than kubectl get no token by it`,
        `run: ${SETUP}`,
      );
    if (ours.length === 0)
      return wrong('kubeconfig', `no user calls this plugin in ${files.join(', ') || 'any file'}`, `run: ${SETUP}`);
    const count = ours.length === 1 ? '1 user calls' : `${ours.length} users call`;
    return fine('kubeconfig', `${count} this plugin, in ${files.join(', ')}`);
  } catch (error) {
    return wrongBy('kubeconfig', error);
  }
}

export function checkCache(host: Host): Check {
  try {
    const directory = cacheDirectoryOf(host);
    const fault = faultOfDirectory(host, directory);
    if (fault === undefined || fault === 'absent') return fine('cache', directory);
    const todo = `chmod 0700 ${directory}, or take it away: until then each call asks the broker`;
    return wrong('cache', `${directory} ${fault}`, todo);
  } catch (error) {
    return wrongBy('cache', error);
  }
}

/** One that is locked keeps what was put into it from everybody, a call of kubectl too. */
export async function checkKeychain(host: Host, { secret_storage }: Config): Promise<Check> {
  if (secret_storage === 'file' || secret_storage === 'memory') {
    return fine('keychain', `not used: secret_storage is ${secret_storage}`);
  }
  const there = hasKeychain(host, existsSync);
  const inside = listRecords(host).some(({ kept_in, session }) => kept_in === 'keychain' && session !== undefined);
  const locked =
    there && host.platform === 'linux' && (inside || secret_storage === 'keychain') && (await isLocked(host));
  const todo = 'unlock it and log in again, or set another secret_storage in config.json';
  if (locked) return wrong('keychain', inside ? 'it is locked, and your session is in it' : 'it is locked', todo);
  const fault = there ? rememberedFault(host) : 'there is no keychain in this session';
  if (fault === undefined) return fine('keychain', 'there is one');
  if (secret_storage === undefined && !inside)
    return fine('keychain', `${fault}: secrets are in a file that you alone can read`);
  return wrong('keychain', fault, todo);
}

export function checkSession(host: Host, url: string): Check {
  const record = readRecord(host, url);
  if (!record?.session) return wrong('session', 'not logged in', 'run: kubectl curfew login');
  if (record.ended) return wrong('session', record.ended.message, 'run: kubectl curfew login');
  return fine('session', `${record.session.username}, see: kubectl curfew status`);
}

export function checkBackground(host: Host): Check {
  try {
    const fault = lastBackgroundFault(host, cacheDirectoryOf(host));
    if (fault === undefined) return fine('background', 'no renewal in the background has failed last');
    const says = `the last renewal in the background failed (${sayInstant(fault.at, host.now())}): ${fault.message}`;
    return wrong(
      'background',
      says,
      'kubectl works, and waits for its next token; if the lines above are ok, it is over',
    );
  } catch (error) {
    return wrongBy('background', error);
  }
}

interface Output {
  readonly output?: string;
  readonly fault?: string;
}

function outputOf({ env }: Pick<Host, 'env'>, program: string, args: readonly string[]): Promise<Output> {
  return new Promise((resolve) => {
    const options = { env: { ...env }, timeout: LONGEST_MS, killSignal: 'SIGKILL' } as const;
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (!error) resolve({ output: stdout });
      else if (error.code === 'ENOENT') resolve({ fault: 'it is not found' });
      else resolve({ fault: stderr.split('\n')[0] || error.message.split('\n')[0] || 'it failed' });
    });
  });
}
