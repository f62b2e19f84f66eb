// A world of targets, all of it real but the clusters: IdP, broker from its bundle with TLS, the gateway of targets from its bundle, and people
// with the plugin. No API server: no command of these needs one.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../cluster/ports.ts';
import type { BrokerProcess } from './broker_process.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { type GatewayProcess, startGatewayProcess } from './gateway_process.ts';
import { type Idp, type IdpOptions, startIdp } from './idp.ts';
import { makePerson, type Person } from './person.ts';
import { startReplicatedSite } from './replicated_site.ts';
import { type Settings, type Site, startSite } from './site.ts';
import { POLICY, USERS } from './world.ts';

export interface TargetWorldOptions {
  /** As the broker has them. */
  readonly targets: readonly Settings[];
  /** From where the gateway is said to reach them. */
  readonly source_addresses: readonly string[];
  readonly policy?: Settings;
  readonly users?: IdpOptions['users'];
  /** Further sections of the broker's configuration, also such as name the IdP. */
  readonly sections?: Settings | ((idp: Idp) => Settings);
  /** Whether the IdP tells the broker of logouts. */
  readonly backchannel?: boolean;
  /** In SQLite with one broker, unless it is PostgreSQL with two replicas: the gateway asks the second. */
  readonly store?: 'postgres' | undefined;
}

export interface TargetWorld {
  readonly dir: string;
  readonly idp: Idp;
  readonly authority: CertificateAuthority;
  readonly site: Site;
  readonly brokerUrl: string;
  /** The broker's process that runs now. */
  readonly broker: BrokerProcess;
  /** The gateway's process that runs now. */
  readonly gateway: GatewayProcess;
  /** Starts it again, where it was ended. */
  startGateway(): Promise<GatewayProcess>;
  /** Changes sections of the configuration while the broker runs. */
  rewriteConfig(changes: Settings): Promise<void>;
  person(name: string): Promise<Person>;
  stop(): Promise<void>;
}

export async function startTargetWorld(options: TargetWorldOptions): Promise<TargetWorld> {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-targets-'));
  const stops: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const { policy = POLICY, users = USERS, targets, source_addresses } = options;
    const authority = await createCertificateAuthority(path.join(dir, 'ca'));
    const { caFile: ca_file, caPem: ca } = authority;
    const [issuer, port] = [`https://127.0.0.1:${await freePort()}`, await freePort()];
    const backchannel = { uri: `${issuer}/backchannel-logout`, ca, session_required: true };
    const idp = await startIdp({ users, ...(options.backchannel && { backchannel }) });
    stops.push(() => idp.stop());
    const token_file = path.join(dir, 'gateway-token');
    await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
    const public_url = `wss://127.0.0.1:${port}`;
    const sections = {
      target_gateway: { public_url, ca_file, token_file, source_addresses },
      targets,
      ...(typeof options.sections === 'function' ? options.sections(idp) : options.sections),
    };
    const start = options.store === 'postgres' ? startReplicatedSite : startSite;
    const cluster = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] };
    const site = await start({ dir, authority, idp, issuer, policy, sections }, [cluster]);
    stops.push(() => site.stop());
    const startGateway = () =>
      startGatewayProcess({ ...{ dir, authority, port, public_url }, broker: { url: issuer, ca_file, token_file } });
    let gateway = await startGateway();
    stops.push(() => gateway.kill());
    return {
      ...{ dir, idp, authority, site, stop, brokerUrl: site.url },
      rewriteConfig: (changes) => site.rewrite(changes),
      get broker() {
        return site.broker;
      },
      get gateway() {
        return gateway;
      },
      async startGateway() {
        gateway = await startGateway();
        return gateway;
      },
      async person(name) {
        const home = await mkdtemp(path.join(dir, `${name}-`));
        const browser = { user: name, password: users[name]?.password ?? '' };
        return makePerson({
          ...{ dir: home, brokerUrl: site.url, caFile: ca_file, browser },
          // Nothing here asks a cluster.
          ...{ kubectl: '/bin/false', nodeOnly: true },
        });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
