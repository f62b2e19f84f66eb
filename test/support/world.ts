// The whole story's parts, all real: IdP, broker from its bundle with TLS, a control plane that trusts it, and persons.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { emptyAuthenticationConfig } from '../cluster/authentication_config.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import type { KwokOptions } from '../cluster/kwok.ts';
import { freePort } from '../cluster/ports.ts';
import type { BrokerProcess } from './broker_process.ts';
import type { BrowserSettings } from './browser.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { type Idp, type IdpOptions, startIdp } from './idp.ts';
import { makePerson, type Person, type PersonOptions } from './person.ts';
import { startReplicatedSite } from './replicated_site.ts';
import { type Settings, type Site, startSite } from './site.ts';

export type { Person };

/** One control plane: a cluster of the broker's, with an API server of its own. */
export interface PlaneOptions {
  readonly name: string;
  /** Changes to the cluster. */
  readonly cluster?: Settings;
  readonly kwok?: boolean | KwokOptions;
  /** Whether its API server asks the broker about each request, and about tokens. */
  readonly webhook?: {
    readonly on_failure: 'deny' | 'no_opinion';
    readonly authentication?: boolean;
    /** Made for it by `client-ca.crt`. */
    readonly client_certificate?: boolean;
  };
  /** Its API server where that is one before 1.34: the version that is printed for, and the program's path. */
  readonly earlier?: { readonly version: string; readonly kubeApiserver: string };
  /** Further flags of its API server, where it takes any; they win over those that come with `webhook`. */
  readonly flags?: readonly string[];
  /** Its API server takes no flags: people act as these. */
  readonly serviceAccounts?: readonly { readonly group: string; readonly namespace: string; readonly name: string }[];
}

export interface WorldOptions {
  /** `policy` of the broker. */
  readonly policy?: Settings;
  /** Changes to `identity_provider`. */
  readonly identityProvider?: Settings;
  /** Changes to the cluster `dev`, which the control plane is. */
  readonly cluster?: Settings;
  /** Further clusters of the broker; their API server is the same one. */
  readonly clusters?: readonly Settings[];
  readonly kwok?: boolean;
  /** Instead of the one for `dev`; the first is `plane`. */
  readonly planes?: readonly PlaneOptions[];
  /** Further sections of the broker's configuration, also such as name the IdP. */
  readonly sections?: Settings | ((idp: Idp) => Settings);
  /** In SQLite with one broker, unless it is PostgreSQL with two replicas: gateways ask the second. */
  readonly store?: 'postgres' | undefined;
  readonly users?: IdpOptions['users'];
  /** Where all files go; a temporary folder that `stop` removes, unless given. */
  readonly dir?: string;
  readonly idp?: Partial<IdpOptions>;
  /** Whether the IdP tells the broker of logouts. */
  readonly backchannel?: boolean;
  /** Another broker than today's: of an earlier release. */
  readonly brokerProgram?: string | undefined;
  /** As that of a person. */
  readonly withoutNative?: PersonOptions['withoutNative'];
  /** Takes one line at a time while the control plane is built. */
  readonly log?: (line: string) => void;
}

export interface World {
  readonly dir: string;
  readonly idp: Idp;
  readonly authority: CertificateAuthority;
  readonly plane: ControlPlane;
  /** All of them, by the cluster's name. */
  readonly planes: Readonly<Record<string, ControlPlane>>;
  readonly brokerUrl: string;
  readonly site: Site;
  /** The broker's process that runs now. */
  readonly broker: BrokerProcess;
  /** Changes sections of the configuration while the broker runs. */
  rewriteConfig(changes: Settings): Promise<void>;
  /** Ends the broker at once and starts it on the same store, with these sections of its configuration changed. */
  restartBroker(changes?: Settings): Promise<void>;
  person(
    name: string,
    browser?: Partial<BrowserSettings>,
    options?: Pick<PersonOptions, 'nodeOnly' | 'program'>,
  ): Promise<Person>;
  stop(): Promise<void>;
}

export const USERS: IdpOptions['users'] = {
  alice: {
    password: 'wonderland',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['dev', 'sre'],
    name: 'Alice',
  },
  bob: { password: 'builder', email: 'bob@example.com', email_verified: true, groups: ['dev'], name: 'Bob' },
  carol: {
    password: 'guardian',
    email: 'carol@example.com',
    email_verified: true,
    groups: ['security'],
    name: 'Carol',
  },
};

export const POLICY = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' }, segments: [] };

/** What the groups may do: `curfew:dev` may read, `curfew:sre` may change. */
export const RBAC = [
  role('curfew-dev', ['get', 'list', 'watch'], 'curfew:dev'),
  role('curfew-sre', ['*'], 'curfew:sre'),
]
  .flat()
  .map((object) => stringify(object))
  .join('---\n');

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const dir = options.dir ?? (await mkdtemp(path.join(tmpdir(), 'curfew-world-')));
  const stops: (() => Promise<unknown>)[] = [];
  if (options.dir === undefined) stops.push(() => rm(dir, { recursive: true, force: true }));
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const { policy = POLICY, identityProvider, users = USERS, withoutNative } = options;
    const authority = await createCertificateAuthority(path.join(dir, 'ca'));
    const issuer = `https://127.0.0.1:${await freePort()}`;
    const uri = `${issuer}/backchannel-logout`;
    const backchannel = { uri, ca: authority.caPem, session_required: true };
    const idp = await startIdp({ users, ...options.idp, ...(options.backchannel && { backchannel }) });
    stops.push(() => idp.stop());
    const wanted = options.planes ?? [planeOf(options)];
    const clusters = async (api: (name: string) => Settings) => [
      ...(await Promise.all(wanted.map((plane) => clusterOf(dir, plane, api(plane.name))))),
      ...(options.clusters ?? []).map((more) => ({ allowed_groups: ['*'], ...api('dev'), ...more })),
    ];
    // kube-apiserver asks a new issuer at once only if it is there when it starts: the broker comes first.
    const client_ca_file = await makeClientAuthority(dir, wanted);
    const unknown = await clusters(() => ({ server: 'https://127.0.0.1:6443', ca_file: authority.caFile }));
    const sections = typeof options.sections === 'function' ? options.sections(idp) : options.sections;
    const start = options.store === 'postgres' ? startReplicatedSite : startSite;
    const site = await start(
      {
        dir,
        authority,
        client_ca_file,
        idp,
        issuer,
        policy,
        identityProvider,
        sections,
        program: options.brokerProgram,
      },
      unknown,
    );
    stops.push(() => site.stop());
    const started = await Promise.allSettled(
      wanted.map(async (plane) => {
        const running = await startPlane(site, dir, plane, options.log);
        stops.push(() => running.stop());
        const applied = await running.adminKubectl(['apply', '-f', '-'], { input: RBAC });
        if (applied.code !== 0) throw new Error(`kubectl apply: ${applied.stderr}`);
        return [plane.name, running] as const;
      }),
    );
    const planes = Object.fromEntries(started.map((one) => fulfilled(one)));
    const plane = planes[wanted[0]?.name ?? ''];
    if (!plane) throw new Error('a world has at least one control plane');
    const known = await clusters((name) => {
      const { server, caFile: ca_file } = planes[name] ?? plane;
      return { server, ca_file };
    });
    const restartBroker = (changes: Settings = {}) => site.restart({ clusters: known, ...changes });
    await restartBroker();
    return {
      ...{ dir, idp, authority, plane, planes, site, restartBroker, stop, brokerUrl: site.url },
      rewriteConfig: (changes) => site.rewrite({ clusters: known, ...changes }),
      get broker() {
        return site.broker;
      },
      async person(name, browser = {}, options = {}) {
        const home = await mkdtemp(path.join(dir, `${name}-`));
        const { caFile } = authority;
        const login = { user: name, password: users[name]?.password ?? '', ...browser };
        return makePerson({
          dir: home,
          brokerUrl: site.url,
          caFile,
          kubectl: plane.kubectlPath,
          browser: login,
          withoutNative,
          ...options,
        });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The one for `dev`, as the options without `planes` describe it. */
function planeOf({ cluster, kwok }: WorldOptions): PlaneOptions {
  return { name: 'dev', ...(cluster && { cluster }), ...(kwok && { kwok }) };
}

/** The file of the authority of API servers that present a certificate, which each such has beside its kubeconfig. */
async function makeClientAuthority(dir: string, planes: readonly PlaneOptions[]): Promise<string | undefined> {
  const presenting = planes.filter(({ webhook }) => webhook?.client_certificate);
  if (presenting.length === 0) return undefined;
  const authority = await createCertificateAuthority(path.join(dir, 'clients'), 'clients');
  for (const { name } of presenting) await authority.issue({ name, hosts: ['127.0.0.1'] });
  const file = path.join(dir, 'client-ca.crt');
  await copyFile(authority.caFile, file);
  return file;
}

async function clusterOf(dir: string, plane: PlaneOptions, api: Settings): Promise<Settings> {
  const { name, cluster, webhook, serviceAccounts } = plane;
  const common = { name, audience: name, allowed_groups: ['*'], ...api };
  if (serviceAccounts) {
    const broker_token_file = brokerTokenFile(dir, name);
    // Until the API server that gives one is there.
    if (!existsSync(broker_token_file)) await writeFile(broker_token_file, 'none', { mode: 0o600 });
    return {
      ...common,
      credential: 'service-account',
      service_accounts: serviceAccounts,
      broker_token_file,
      ...cluster,
    };
  }
  if (!webhook) return { ...common, ...cluster };
  const token_file = path.join(dir, `${name}-webhook-token`);
  if (!existsSync(token_file)) await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
  return { ...common, webhook: { token_file, ...webhook }, ...cluster };
}

function brokerTokenFile(dir: string, cluster: string): string {
  return path.join(dir, `${cluster}-broker-token`);
}

/** As an administrator would: what the broker prints is applied, and the broker gets a token of its identity there. */
async function admitBroker(site: Site, dir: string, name: string, plane: ControlPlane): Promise<void> {
  for (const what of ['sa-manifests', 'rbac']) {
    const applied = await plane.adminKubectl(['apply', '-f', '-'], { input: await site.print(what, name) });
    if (applied.code !== 0) throw new Error(`kubectl apply: ${applied.stderr}`);
  }
  const identity = ['--namespace', 'curfew-broker', 'curfew-broker'];
  const token = await plane.adminKubectl(['create', 'token', ...identity, '--duration', '1h']);
  if (token.code !== 0) throw new Error(`kubectl create token: ${token.stderr}`);
  await writeFile(brokerTokenFile(dir, name), token.stdout, { mode: 0o600 });
}

/** With what the broker prints for it, as an administrator would put it there. */
async function startPlane(site: Site, dir: string, plane: PlaneOptions, log: WorldOptions['log']) {
  const { name, webhook, kwok, serviceAccounts, earlier, flags = [] } = plane;
  const common = { ...(kwok && { kwok }), ...(log && { log }), ...earlier };
  const version = earlier ? ['--kubernetes', earlier.version] : [];
  const authnConfig = () => site.print('authn-config', name, ...version);
  if (serviceAccounts) {
    const nobody = earlier && { authenticationConfig: emptyAuthenticationConfig('v1beta1') };
    const running = await startControlPlane({ ...common, ...nobody });
    await admitBroker(site, dir, name, running);
    return running;
  }
  if (!webhook) return startControlPlane({ authenticationConfig: await authnConfig(), extraArgs: flags, ...common });
  const kubeconfig = path.join(dir, `${name}-webhook.kubeconfig`);
  const paths = ['--client-certificate', path.join(dir, 'clients', `${name}.crt`)];
  const own = webhook.client_certificate ? [...paths, '--client-key', path.join(dir, 'clients', `${name}.key`)] : [];
  await writeFile(kubeconfig, await site.print('webhook-kubeconfig', name, ...own), { mode: 0o600 });
  const authorizationConfig = await site.print('authz-config', name, '--kubeconfig', kubeconfig, ...version);
  if (!webhook.authentication) {
    const authenticationConfig = await authnConfig();
    return startControlPlane({ authenticationConfig, authorizationConfig, extraArgs: flags, ...common });
  }
  // Its tokens are not verified by the API server: it asks.
  const reviews = path.join(dir, `${name}-token-reviews.kubeconfig`);
  const token_file = path.join(dir, `${name}-webhook.token`);
  const token = await site.print('webhook-kubeconfig', name).then((text) => /token: (\S+)/.exec(text)?.[1]);
  await writeFile(token_file, `${token}\n`, { mode: 0o600 });
  await writeFile(
    reviews,
    await site.print('webhook-kubeconfig', name, '--authentication', '--token-file', token_file, ...own),
  );
  const extraArgs = [
    `--authentication-token-webhook-config-file=${reviews}`,
    '--authentication-token-webhook-version=v1',
    '--authentication-token-webhook-cache-ttl=1s',
    ...flags,
  ];
  return startControlPlane({ authorizationConfig, extraArgs, ...common });
}

function fulfilled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

function role(name: string, verbs: readonly string[], group: string): object[] {
  const rbac = 'rbac.authorization.k8s.io';
  const rules = [{ apiGroups: ['', 'apps'], resources: ['*'], verbs }];
  const roleRef = { apiGroup: rbac, kind: 'ClusterRole', name };
  const subjects = [{ kind: 'Group', apiGroup: rbac, name: group }];
  const head = { apiVersion: `${rbac}/v1`, metadata: { name } };
  return [
    { ...head, kind: 'ClusterRole', rules },
    { ...head, kind: 'ClusterRoleBinding', roleRef, subjects },
  ];
}
