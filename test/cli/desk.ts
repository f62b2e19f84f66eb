// A person's desk without a cluster: the plugin's bundle, a real broker and IdP, a browser, and what kubectl would say.

import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { brokerOf } from '../../cli/session/trust.ts';
import type { Target } from '../../scripts/native/targets.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { installNative, nodeProgram, type PROGRAMS, type Program } from '../native/launcher.ts';
import { type BrokerProcess, startBroker } from '../support/broker_process.ts';
import { type Browser, type BrowserSettings, makeBrowser } from '../support/browser.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { type Idp, type IdpOptions, startIdp } from '../support/idp.ts';
import { localTime } from '../support/local_time.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { temporaryFolder } from './host.ts';

type Settings = Readonly<Record<string, unknown>>;
type Env = Readonly<Record<string, string | undefined>>;

export const V1 = 'client.authentication.k8s.io/v1';

export function execInfo(interactive: boolean, apiVersion: string = V1): string {
  return JSON.stringify({ kind: 'ExecCredential', apiVersion, spec: { interactive } });
}

export interface Desk {
  readonly dir: string;
  readonly idp: Idp;
  readonly url: string;
  readonly ca_file: string;
  readonly browser: Browser;
  readonly env: Readonly<Record<string, string>>;
  /** The plugin, without arguments. */
  readonly command: readonly [string, ...string[]];
  readonly broker: BrokerProcess;
  curfew(args: readonly string[], env?: Env): Promise<RunResult>;
  /** As a person types it. */
  curfewAtTerminal(args: readonly string[], env?: Env): Pty;
  /** As kubectl calls it. */
  getToken(
    cluster: string,
    interactive: boolean,
    options?: { env?: Env; more?: readonly string[]; times?: number },
  ): Promise<RunResult>;
  /** Names in the cache that are entries. */
  entries(): Promise<readonly string[]>;
  /** Another browser from now on. */
  withBrowser(settings: Partial<BrowserSettings>): Promise<Browser>;
  restartBroker(changes?: Settings): Promise<void>;
  /** Writes the configuration of the broker with these changes; the process that runs sees it by itself. */
  reconfigure(changes: Settings): Promise<void>;
  stopBroker(): Promise<void>;
  stop(): Promise<void>;
}

const USERS = {
  alice: {
    password: 'wonderland',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['dev', 'sre'],
    name: 'Alice',
    otp: '123456',
  },
  bob: { password: 'builder', email: 'bob@example.com', email_verified: true, groups: ['dev'], name: 'Bob' },
} as const;

const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  segments: [
    { name: 'prod', match: { clusters: ['prod'] }, limits: { max_age: '15m' } },
    { name: 'vault', match: { clusters: ['vault'] }, limits: { acr: ['mfa'] } },
  ],
};

interface DeskOptions {
  readonly idp?: Partial<IdpOptions>;
  /** Changes to the broker's `identity_provider`. */
  readonly identityProvider?: Settings;
  readonly via?: (typeof PROGRAMS)[number];
  /** Another native program than the one that is shipped. */
  readonly native?: Target;
  /** Whether the broker is one that was set up here; kubeconfig is not written. */
  readonly known?: boolean;
  /** Whether the identity provider tells the broker of logouts there. */
  readonly backchannel?: boolean;
  /** Makes what the broker's configuration names, in its folder. */
  readonly prepare?: (dir: string) => Promise<void>;
  /** For openssl: certificates of another time. */
  readonly openssl?: Readonly<Record<string, string>>;
}

export async function openDesk(
  changes: Settings = {},
  {
    idp: idpOptions = {},
    identityProvider = {},
    via = 'native',
    native,
    known = true,
    backchannel = false,
    prepare,
    openssl = {},
  }: DeskOptions = {},
): Promise<Desk> {
  const dir = temporaryFolder('desk');
  const { command } = via === 'native' ? await installNative(path.join(dir, 'bin'), native) : await withOwnHome();
  const [program, ...words] = command;
  const authority = await createCertificateAuthority(path.join(dir, 'ca'), undefined, openssl);
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const logouts = { uri: `${url}/backchannel-logout`, ca: authority.caPem, session_required: true };
  const idp = await startIdp({ users: USERS, ...idpOptions, ...(backchannel && { backchannel: logouts }) });
  const tls = await authority.issue({ name: 'broker', hosts: ['127.0.0.1'] });
  await writeFile(path.join(dir, 'key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  await prepare?.(dir);
  const configFile = path.join(dir, 'broker.yaml');
  const identity_provider = {
    ...{ issuer: idp.issuer, client_id: idp.clientId, scopes: ['openid', 'email', 'groups'] },
    ...{ username_claim: 'email', groups_claim: 'groups', username_prefix: 'curfew:', groups_prefix: 'curfew:' },
    ...{ allowed_groups: ['*'], ...identityProvider },
  };
  const write = (more: Settings) => {
    const cluster = { server: 'https://127.0.0.1:6443', ca_file: authority.caFile, allowed_groups: ['*'] };
    const config = {
      issuer: url,
      issuer_ca_file: authority.caFile,
      listen: { address: '127.0.0.1', port, tls: { cert_file: tls.certFile, key_file: tls.keyFile } },
      keys: { encryption_key_file: 'key' },
      identity_provider,
      clusters: ['dev', 'prod', 'vault'].map((name) => ({ ...cluster, name, audience: `${name}-audience` })),
      store: { sqlite: { file: 'curfew.db' } },
      policy: POLICY,
      ...changes,
      ...more,
    };
    return writeFile(configFile, stringify(config));
  };
  await write({});
  const home = via === 'native' || process.geteuid?.() !== 0 ? [] : [ownHomeOf(command)];
  const folders = [path.join(dir, 'config'), ...home.map((own) => path.join(own, '.config/curfew'))];
  for (const folder of known ? folders : [])
    await trustBroker(folder, url, { ca_file: authority.caFile, identity_provider: idp.issuer });
  // kubectl's calls take the settings of another folder only where the usual one names it.
  await writePrivate(path.join(dir, '.config/curfew'), 'folders.json', { folders: [path.join(dir, 'config')] });
  const start = () => startBroker({ configFile, url, ca: authority.caPem });
  let broker = await start().catch(async (error: unknown) => {
    await idp.stop();
    throw error;
  });
  let browsers = 0;
  const newBrowser = async (settings: Partial<BrowserSettings> = {}) => {
    browsers += 1;
    const folder = path.join(dir, `browser${browsers}`);
    await mkdir(folder);
    return makeBrowser(folder, { user: 'alice', password: 'wonderland', ...settings });
  };
  let browser = await newBrowser();
  const env = {
    PATH: process.env.PATH ?? '',
    ...localTime(),
    HOME: dir,
    KUBECONFIG: path.join(dir, 'kubeconfig'),
    CURFEW_CONFIG_DIR: path.join(dir, 'config'),
    CURFEW_CACHE_DIR: path.join(dir, 'cache'),
    BROWSER: browser.command,
  };
  const curfew: Desk['curfew'] = (args, more = {}) =>
    run(program, [...words, ...args], { env: { ...env, BROWSER: browser.command, ...more } });
  return {
    ...{ dir, idp, url, env, curfew, command, ca_file: authority.caFile },
    curfewAtTerminal: (args, more = {}) =>
      runInPty(program, [...words, ...args], { env: { ...env, BROWSER: browser.command, ...more } }),
    get broker() {
      return broker;
    },
    get browser() {
      return browser;
    },
    getToken: (cluster, interactive, { env: more = {}, more: flags = [], times = 1 } = {}) => {
      const args = ['get-token', '--broker', url, '--cluster', cluster, '--ca-file', authority.caFile, ...flags];
      return run('/bin/sh', ['-c', `${CALL.repeat(times)}exit $code`, 'sh', ...command, ...args], {
        env: { ...env, BROWSER: browser.command, KUBERNETES_EXEC_INFO: execInfo(interactive), ...more },
      });
    },
    async entries() {
      const names = await readdir(path.join(dir, 'cache'));
      return names.filter((name) => name.endsWith('.json') && name.startsWith('https'));
    },
    async withBrowser(settings) {
      browser = await newBrowser(settings);
      return browser;
    },
    async restartBroker(more = {}) {
      await broker.kill();
      await write(more);
      broker = await start();
    },
    reconfigure: write,
    stopBroker: () => broker.kill(),
    async stop() {
      await broker.kill();
      await idp.stop();
    },
  };
}

/** What `setup` leaves of a broker, without the clusters in kubeconfig. */
export async function trustBroker(
  folder: string,
  url: string,
  { ca_file, identity_provider }: { readonly ca_file: string; readonly identity_provider: string },
): Promise<void> {
  await writePrivate(folder, 'config.json', { brokers: { [url]: brokerOf(ca_file, identity_provider) } });
}

async function writePrivate(folder: string, name: string, value: object): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(path.join(folder, name), JSON.stringify(value), { mode: 0o600 });
}

/**
 * The program on Node.js, where root's own home, which `sudo -E` leads to, is a folder that goes with the tests: nothing of the
 * machine is read or changed.
 */
async function withOwnHome(): Promise<Program> {
  const program = await nodeProgram();
  const [node, ...words] = program.command;
  if (process.geteuid?.() !== 0) return program;
  const folder = temporaryFolder('own');
  await chmod(folder, 0o755);
  const file = path.join(folder, 'node');
  const script = `const os = require('node:os'); const of = os.userInfo;
    os.userInfo = (...more) => ({ ...of(...more), homedir: ${JSON.stringify(path.join(folder, 'home'))} });`;
  await writeFile(path.join(folder, 'own_home.cjs'), script, { mode: 0o644 });
  const preload = path.join(folder, 'own_home.cjs');
  await writeFile(file, `#!/bin/sh\nexec '${node}' -r '${preload}' "$@"\n`, { mode: 0o755 });
  return { ...program, command: [file, ...words] };
}

function ownHomeOf([program]: Program['command']): string {
  return path.join(path.dirname(program), 'home');
}

/** Each call of a kubectl of its own: the plugin's parent. */
const CALL = '"$@"; code=$?\n';

/** What kubectl reads: throws unless stdout is exactly one ExecCredential. */
export function credentialOf({ stdout, stderr, code }: RunResult): {
  token: string;
  expires: number;
  apiVersion: string;
} {
  if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
  const { kind, apiVersion, status } = JSON.parse(stdout);
  if (kind !== 'ExecCredential' || stdout.indexOf('\n') !== stdout.length - 1)
    throw new Error(`not a credential: ${stdout}`);
  return { apiVersion, token: status.token, expires: Date.parse(status.expirationTimestamp) / 1000 };
}

/** The lines of a refusal: exactly one error and one hint, and nothing on stdout. */
export function refusalOf({ stdout, stderr }: RunResult): { error: string; hint: string; before: readonly string[] } {
  if (stdout !== '') throw new Error(`stdout is not empty: ${stdout}`);
  const lines = stderr.trimEnd().split('\n');
  const [error = '', hint = ''] = lines.slice(-2);
  const before = lines.slice(0, -2);
  const strays = before.filter((line) => /^curfew: (error|hint):/.test(line));
  if (!error.startsWith('curfew: error: ') || !hint.startsWith('curfew: hint: ') || strays.length > 0) {
    throw new Error(`not one error and one hint: ${stderr}`);
  }
  return { error: error.slice(15), hint: hint.slice(14), before };
}

export async function readJson(file: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(file, 'utf8'));
}
