// A whole configuration in memory, and its faults after a change.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { loadConfig } from '../../broker/config/load.ts';
import type { Config } from '../../broker/config/settings.ts';
import { CurfewError } from '../../shared/errors.ts';
import { createCertificateAuthority } from '../support/certificates.ts';

export interface MemoryFile {
  readonly text: string;
  readonly mode?: number;
}

export type Files = Readonly<Record<string, MemoryFile | string>>;
export type Settings = Record<string, unknown>;

export interface ConfigFiles {
  readonly files: Files;
  /** Loads the whole settings with sections replaced, `undefined` removing one. */
  load(changes?: Settings, files?: Files, env?: Record<string, string>): Promise<Config>;
  /** Loads a text as it is. */
  loadText(text: string, files?: Files, env?: Record<string, string>): Promise<Config>;
  /** The faults that loading lists; empty when it loads. Anything but a CurfewError `configuration` is thrown on. */
  faults(changes?: Settings, files?: Files, env?: Record<string, string>): Promise<readonly string[]>;
  faultsOfText(text: string): Promise<readonly string[]>;
}

export const FOLDER = '/etc/curfew';

/** The settings of the design, as far as they work. */
export const SETTINGS = {
  issuer: 'https://curfew.example.com',
  issuer_ca_file: 'ca.crt',
  listen: { address: '0.0.0.0', port: 8443, tls: { cert_file: 'tls.crt', key_file: 'tls.key' } },
  trusted_proxies: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
  keys: { encryption_key_file: 'key' },
  identity_provider: {
    issuer: 'https://idp.example.com',
    client_id: 'curfew',
    scopes: ['openid', 'email', 'groups'],
    ca_file: 'ca.crt',
    username_claim: 'email',
    groups_claim: 'groups',
    username_prefix: 'curfew:',
    groups_prefix: 'curfew:',
    allowed_groups: ['*'],
  },
  clusters: [
    {
      name: 'prod-eu',
      server: 'https://10.0.0.1:6443',
      ca_file: 'ca.crt',
      audience: 'prod-eu',
      allowed_groups: ['sre'],
      ceiling: { max_age: '15m', token_ttl: '2m' },
    },
    { name: 'dev', server: 'https://10.0.1.1:6443', ca_file: 'ca.crt', audience: 'dev', allowed_groups: ['*'] },
  ],
  store: { sqlite: { file: 'curfew.db' } },
  policy: {
    limits: { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' },
    segments: [
      {
        name: 'prod',
        match: { clusters: ['prod-*'] },
        limits: { max_age: '15m', inactivity_timeout: '10m', token_ttl: '2m', acr: ['mfa'] },
      },
    ],
  },
} as const;

export async function makeConfigFiles(): Promise<ConfigFiles> {
  const files = await certificates();
  const loadText = (text: string, more: Files = {}, env: Record<string, string> = {}) => {
    const all: Files = { ...files, ...more, 'config.yaml': text };
    return loadConfig(`${FOLDER}/config.yaml`, { env, readFile: (file) => read(all, file) });
  };
  const load: ConfigFiles['load'] = (changes = {}, more, env) =>
    loadText(stringify({ ...SETTINGS, ...changes }), more, env);
  return {
    files,
    load,
    loadText,
    faults: (...change) => faultsOf(load(...change)),
    faultsOfText: (text) => faultsOf(loadText(text)),
  };
}

async function certificates(): Promise<Files> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-config-'));
  try {
    const ca = await createCertificateAuthority(folder);
    const [one, other] = [
      await ca.issue({ name: 'tls', hosts: ['curfew.example.com'] }),
      await ca.issue({ name: 'other', hosts: ['other.example.com'] }),
    ];
    return {
      'ca.crt': ca.caPem,
      'tls.crt': await readFile(one.certFile, 'utf8'),
      'tls.key': await readFile(one.keyFile, 'utf8'),
      'other.key': await readFile(other.keyFile, 'utf8'),
      key: `${Buffer.alloc(32, 7).toString('base64')}\n`,
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function read(files: Files, file: string) {
  const name = path.relative(FOLDER, file);
  const found = Object.hasOwn(files, name) ? files[name] : undefined;
  if (found === undefined) throw new Error('no such file');
  return typeof found === 'string' ? { text: found, mode: 0o600 } : { mode: 0o600, ...found };
}

async function faultsOf(loading: Promise<Config>): Promise<readonly string[]> {
  try {
    await loading;
    return [];
  } catch (error) {
    if (!(error instanceof CurfewError) || error.code !== 'configuration') throw error;
    const [head = '', ...lines] = error.message.split('\n').map((line) => line.trim());
    return lines.length > 0 ? lines : [head.replace(/^[^:]*: /, '')];
  }
}
