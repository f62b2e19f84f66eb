// The broker's side of a world: a folder with its keys, certificate and configuration, and the process that runs on it.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { type BrokerProcess, startBroker } from './broker_process.ts';
import type { CertificateAuthority } from './certificates.ts';
import { commandOf } from './command_of.ts';
import type { Idp } from './idp.ts';

export type Settings = Readonly<Record<string, unknown>>;

export interface SiteOptions {
  readonly dir: string;
  readonly authority: CertificateAuthority;
  readonly idp: Pick<Idp, 'issuer' | 'clientId'>;
  /** Its origin as kube-apiserver reaches it: `https://host:port`. */
  readonly issuer: string;
  /** Of API servers that present a certificate. */
  readonly client_ca_file?: string | undefined;
  /** Where it listens; a loopback address unless kube-apiserver is elsewhere. */
  readonly address?: string;
  readonly policy: Settings;
  readonly identityProvider?: Settings | undefined;
  /** Further sections of the configuration. */
  readonly sections?: Settings | undefined;
  /** The program, where it is another than the bundle; of one with SQLite alone. */
  readonly program?: string | undefined;
}

export interface Site {
  readonly url: string;
  readonly configFile: string;
  /** The process that runs now. */
  readonly broker: BrokerProcess;
  /** Ends the process at once, writes its configuration with these sections changed, and starts it on the same store. */
  restart(changes: Settings): Promise<void>;
  /** Writes the configuration with these sections changed; the process that runs sees it by itself. */
  rewrite(changes: Settings): Promise<void>;
  /** What `print authn-config` prints. */
  authenticationConfig(cluster: string): Promise<string>;
  /** Runs a command of the broker's with this configuration. */
  command(...words: readonly string[]): Promise<RunResult>;
  /** What `print …` prints for a cluster. */
  print(what: string, cluster: string, ...more: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

export async function startSite(options: SiteOptions, clusters: readonly Settings[]): Promise<Site> {
  const { dir, authority, issuer, address = '127.0.0.1', sections, program, client_ca_file } = options;
  const { hostname, port } = new URL(issuer);
  const tls = await authority.issue({ name: 'broker', hosts: [...new Set([hostname, '127.0.0.1', 'localhost'])] });
  const keyFile = path.join(dir, 'encryption-key');
  if (!existsSync(keyFile)) await writeFile(keyFile, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  const configFile = path.join(dir, 'curfew-broker.yaml');
  const settings = {
    ...settingsOf(options, keyFile),
    listen: {
      ...{ address, port: Number(port) },
      tls: { cert_file: tls.certFile, key_file: tls.keyFile, ...(client_ca_file !== undefined && { client_ca_file }) },
    },
    clusters,
    store: { sqlite: { file: 'curfew.db' } },
    ...sections,
  };
  const local = `https://127.0.0.1:${port}`;
  const rewrite = (changes: Settings) => writeFile(configFile, stringify({ ...settings, ...changes }));
  const start = async (changes: Settings) => {
    await rewrite(changes);
    return startBroker({ configFile, url: local, ca: authority.caPem, program });
  };
  let broker = await start({});
  return {
    url: issuer,
    configFile,
    get broker() {
      return broker;
    },
    async restart(changes) {
      await broker.kill();
      broker = await start(changes);
    },
    rewrite,
    ...runCommand(configFile, program),
    stop: () => broker.kill(),
  };
}

/** What every broker of the tests has, wherever its store is. */
export function settingsOf(
  { authority, idp, issuer, policy, identityProvider }: SiteOptions,
  encryption_key_file: string,
): Settings {
  return {
    ...{ issuer, issuer_ca_file: authority.caFile, keys: { encryption_key_file }, policy },
    identity_provider: { ...identityProviderOf(idp), ...identityProvider },
  };
}

/** Commands of the broker with that configuration. */
export function runCommand(
  configFile: string,
  program?: string,
): Pick<Site, 'command' | 'authenticationConfig' | 'print'> {
  const command = async (...words: readonly string[]) => {
    const [file, ...before] = commandOf(program ?? (await buildBundles()).broker);
    return run(file, [...before, ...words, '--config', configFile]);
  };
  const print = async (what: string, cluster: string, ...more: readonly string[]) => {
    const { code, stdout, stderr } = await command('print', what, '--cluster', cluster, ...more);
    if (code !== 0) throw new Error(`print ${what}: ${stderr}`);
    return stdout;
  };
  return { command, print, authenticationConfig: (cluster) => print('authn-config', cluster) };
}

function identityProviderOf({ issuer, clientId }: SiteOptions['idp']): Settings {
  return {
    ...{ issuer, client_id: clientId, scopes: ['openid', 'email', 'groups'] },
    ...{ username_claim: 'email', groups_claim: 'groups', username_prefix: 'curfew:', groups_prefix: 'curfew:' },
    allowed_groups: ['*'],
  };
}
