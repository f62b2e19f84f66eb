// The whole story's parts, all real: IdP, broker from its bundle with TLS, a control plane that trusts it, and persons.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { freePort } from '../cluster/ports.ts';
import type { BrokerProcess } from './broker_process.ts';
import type { BrowserSettings } from './browser.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { type Idp, type IdpOptions, startIdp } from './idp.ts';
import { makePerson, type Person } from './person.ts';
import { type Settings, type Site, startSite } from './site.ts';

export type { Person };

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
  /** Where all files go; a temporary folder that `stop` removes, unless given. */
  readonly dir?: string;
  readonly idp?: Partial<IdpOptions>;
  /** Takes one line at a time while the control plane is built. */
  readonly log?: (line: string) => void;
}

export interface World {
  readonly dir: string;
  readonly idp: Idp;
  readonly authority: CertificateAuthority;
  readonly plane: ControlPlane;
  readonly brokerUrl: string;
  readonly site: Site;
  /** The broker's process that runs now. */
  readonly broker: BrokerProcess;
  /** Ends the broker at once and starts it on the same store, with these sections of its configuration changed. */
  restartBroker(changes?: Settings): Promise<void>;
  person(name: string, browser?: Partial<BrowserSettings>): Promise<Person>;
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
    const authority = await createCertificateAuthority(path.join(dir, 'ca'));
    const idp = await startIdp({ users: USERS, ...options.idp });
    stops.push(() => idp.stop());
    const clusters = (api: Settings) => [
      { name: 'dev', audience: 'dev', allowed_groups: ['*'], ...api, ...options.cluster },
      ...(options.clusters ?? []).map((more) => ({ allowed_groups: ['*'], ...api, ...more })),
    ];
    const { policy = POLICY, identityProvider } = options;
    const issuer = `https://127.0.0.1:${await freePort()}`;
    // kube-apiserver asks a new issuer at once only if it is there when it starts: the broker comes first.
    const unknown = clusters({ server: 'https://127.0.0.1:6443', ca_file: authority.caFile });
    const site = await startSite({ dir, authority, idp, issuer, policy, identityProvider }, unknown);
    stops.push(() => site.stop());
    const plane = await startControlPlane({
      authenticationConfig: await site.authenticationConfig('dev'),
      ...(options.kwok && { kwok: true }),
      ...(options.log && { log: options.log }),
    });
    stops.push(() => plane.stop());
    const applied = await plane.adminKubectl(['apply', '-f', '-'], { input: RBAC });
    if (applied.code !== 0) throw new Error(`kubectl apply: ${applied.stderr}`);
    const known = clusters({ server: plane.server, ca_file: plane.caFile });
    const restartBroker = (changes: Settings = {}) => site.restart({ clusters: known, ...changes });
    await restartBroker();
    return {
      ...{ dir, idp, authority, plane, site, restartBroker, stop, brokerUrl: site.url },
      get broker() {
        return site.broker;
      },
      async person(name, browser = {}) {
        const home = await mkdtemp(path.join(dir, `${name}-`));
        const { caFile } = authority;
        const login = { user: name, password: USERS[name]?.password ?? '', ...browser };
        return makePerson({ dir: home, brokerUrl: site.url, caFile, kubectl: plane.kubectlPath, browser: login });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
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
