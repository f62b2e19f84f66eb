// The whole story's parts, all real: IdP, broker from its bundle with TLS, control plane that trusts it, persons with a
// kubeconfig and a browser of their own.

import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { freePort } from '../cluster/ports.ts';
import { type BrokerProcess, startBroker } from './broker_process.ts';
import { type Browser, type BrowserSettings, makeBrowser } from './browser.ts';
import { buildBundles } from './bundle.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { type Idp, startIdp } from './idp.ts';
import { type Pty, runInPty } from './pty.ts';
import { type RunResult, run } from './run.ts';

type Settings = Readonly<Record<string, unknown>>;

export interface WorldOptions {
  /** `policy` of the broker. */
  readonly policy?: Settings;
  /** Changes to `identity_provider`. */
  readonly identityProvider?: Settings;
  /** Changes to the first cluster, which the control plane is. */
  readonly cluster?: Settings;
  /** Further clusters of the broker; their API server is the same unless they say otherwise. */
  readonly clusters?: readonly Settings[];
  readonly kwok?: boolean;
  /** Where all files go; a temporary folder that `stop` removes unless given. */
  readonly dir?: string;
  readonly log?: (line: string) => void;
  /** Highest log level of everything, for tests that look for secrets. */
  readonly users?: Parameters<typeof startIdp>[0]['users'];
}

export interface World {
  readonly dir: string;
  readonly idp: Idp;
  readonly authority: CertificateAuthority;
  readonly plane: ControlPlane;
  readonly brokerUrl: string;
  readonly configFile: string;
  /** The process that runs now. */
  readonly broker: BrokerProcess;
  /** Stops the broker at once, writes its configuration with these changes, and starts it again on the same store. */
  restartBroker(changes?: Settings): Promise<void>;
  person(name: string, browser?: Partial<BrowserSettings>): Promise<Person>;
  stop(): Promise<void>;
}

/** Somebody with a machine of their own: home, kubeconfig, browser. Not set up yet. */
export interface Person {
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly browser: Browser;
  /** `kubectl-curfew setup` for this world's broker. */
  setup(...more: readonly string[]): Promise<RunResult>;
  curfew(
    args: readonly string[],
    options?: { readonly env?: Readonly<Record<string, string>>; readonly input?: string; readonly timeout?: number },
  ): Promise<RunResult>;
  kubectl(
    args: readonly string[],
    options?: { readonly env?: Readonly<Record<string, string>>; readonly input?: string },
  ): Promise<RunResult>;
  /** The same at a terminal. */
  kubectlAtTerminal(...args: readonly string[]): Pty;
  curfewAtTerminal(...args: readonly string[]): Pty;
}

export const USERS = {
  alice: {
    password: 'wonderland',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['dev', 'sre'],
    name: 'Alice',
  },
  bob: { password: 'builder', email: 'bob@example.com', email_verified: true, groups: ['dev'], name: 'Bob' },
} as const;

export const POLICY = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' }, segments: [] };

/** RBAC of the world: `curfew:dev` may read everything that the API server itself keeps, `curfew:sre` may change it. */
const RBAC = [role('curfew-dev', ['get', 'list', 'watch'], 'curfew:dev'), role('curfew-sre', ['*'], 'curfew:sre')].join(
  '---\n',
);

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const dir = options.dir ?? (await mkdtemp(path.join(tmpdir(), 'curfew-world-')));
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
  };
  try {
    const authority = await createCertificateAuthority(path.join(dir, 'ca'));
    const idp = await startIdp({ users: options.users ?? USERS });
    stops.push(() => idp.stop());
    const port = await freePort();
    const brokerUrl = `https://127.0.0.1:${port}`;
    const tls = await authority.issue({ name: 'broker', hosts: ['127.0.0.1', 'localhost'] });
    await writeFile(path.join(dir, 'key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    const configFile = path.join(dir, 'curfew-broker.yaml');

    let api = { server: 'https://127.0.0.1:6443', ca_file: authority.caFile };
    const write = (changes: Settings) => {
      const cluster = { name: 'dev', audience: 'dev', allowed_groups: ['*'], ...api, ...options.cluster };
      const config = {
        issuer: brokerUrl,
        issuer_ca_file: authority.caFile,
        listen: { address: '127.0.0.1', port, tls: { cert_file: tls.certFile, key_file: tls.keyFile } },
        keys: { encryption_key_file: 'key' },
        identity_provider: { ...identityProviderOf(idp), ...options.identityProvider },
        clusters: [cluster, ...(options.clusters ?? []).map((more) => ({ ...api, allowed_groups: ['*'], ...more }))],
        store: { sqlite: { file: 'curfew.db' } },
        policy: options.policy ?? POLICY,
        ...changes,
      };
      return writeFile(configFile, stringify(config));
    };
    await write({});
    const start = () => startBroker({ configFile, url: brokerUrl, ca: authority.caPem });
    let broker = await start();
    stops.push(() => broker.kill());

    // kube-apiserver asks a new issuer at once only if it is there when it starts.
    const authenticationConfig = await printAuthnConfig(configFile);
    const kwok = options.kwok === undefined ? {} : { kwok: options.kwok };
    const plane = await startControlPlane({
      authenticationConfig,
      dir,
      ...kwok,
      ...(options.log && { log: options.log }),
    });
    stops.push(() => plane.stop());
    await must(plane.adminKubectl(['apply', '-f', '-'], { input: RBAC }));
    api = { server: plane.server, ca_file: plane.caFile };

    const restartBroker = async (changes: Settings = {}) => {
      await broker.kill();
      await write(changes);
      broker = await start();
    };
    await restartBroker();
    const world: World = {
      ...{ dir, idp, authority, plane, brokerUrl, configFile, restartBroker, stop },
      get broker() {
        return broker;
      },
      person: (name, browser = {}) => makePerson(world, name, browser),
    };
    return world;
  } catch (error) {
    await stop();
    throw error;
  }
}

export async function printAuthnConfig(configFile: string, cluster = 'dev'): Promise<string> {
  const { broker } = await buildBundles();
  const printed = await run(process.execPath, [
    broker,
    'print',
    'authn-config',
    '--config',
    configFile,
    '--cluster',
    cluster,
  ]);
  if (printed.code !== 0) throw new Error(`print authn-config: ${printed.stderr}`);
  return printed.stdout;
}

async function makePerson(world: World, name: string, settings: Partial<BrowserSettings>): Promise<Person> {
  const dir = await mkdtemp(path.join(world.dir, `${name}-`));
  const { cli } = await buildBundles();
  const user = (USERS as Readonly<Record<string, { password: string }>>)[name];
  await mkdir(path.join(dir, 'browser'));
  const browser = makeBrowser(path.join(dir, 'browser'), { user: name, password: user?.password ?? '', ...settings });
  const runtime = path.join(dir, 'run');
  await mkdir(runtime, { mode: 0o700 });
  const env = {
    PATH: `${path.dirname(world.plane.kubectlPath)}:${process.env.PATH ?? ''}`,
    HOME: dir,
    TERM: 'xterm-256color',
    XDG_RUNTIME_DIR: runtime,
    KUBECONFIG: path.join(dir, 'kubeconfig'),
    CURFEW_CONFIG_DIR: path.join(dir, 'config'),
    CURFEW_CACHE_DIR: path.join(dir, 'cache'),
    BROWSER: browser.command,
  };
  const curfew: Person['curfew'] = (args, { env: more, ...options } = {}) =>
    run(process.execPath, [cli, ...args], { env: { ...env, ...more }, ...options });
  return {
    ...{ dir, env, browser, curfew },
    setup: (...more) => curfew(['setup', '--broker', world.brokerUrl, '--ca-file', world.authority.caFile, ...more]),
    kubectl: (args, { env: more, ...options } = {}) =>
      run(world.plane.kubectlPath, args, { env: { ...env, ...more }, ...options }),
    kubectlAtTerminal: (...args) => runInPty(world.plane.kubectlPath, args, { env, cols: 200 }),
    curfewAtTerminal: (...args) => runInPty(process.execPath, [cli, ...args], { env, cols: 200 }),
  };
}

function identityProviderOf(idp: Idp): Settings {
  return {
    issuer: idp.issuer,
    client_id: idp.clientId,
    scopes: ['openid', 'email', 'groups'],
    username_claim: 'email',
    groups_claim: 'groups',
    username_prefix: 'curfew:',
    groups_prefix: 'curfew:',
    allowed_groups: ['*'],
  };
}

function role(name: string, verbs: readonly string[], group: string): string {
  const rules = [{ apiGroups: ['', 'apps'], resources: ['*'], verbs }];
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name };
  const subjects = [{ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: group }];
  return [
    stringify({ apiVersion, kind: 'ClusterRole', metadata: { name }, rules }),
    stringify({ apiVersion, kind: 'ClusterRoleBinding', metadata: { name }, roleRef, subjects }),
  ].join('---\n');
}

async function must(result: Promise<{ code: number; stderr: string }>): Promise<void> {
  const { code, stderr } = await result;
  if (code !== 0) throw new Error(`kubectl ended with ${code}: ${stderr}`);
}
