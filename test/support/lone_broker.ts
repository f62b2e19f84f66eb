// A broker as a process with a folder and a static issuer of its own, for tests that stop it, starve it or fill it.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import type { TokenReply } from '../../shared/wire.ts';
import { freePort } from '../cluster/ports.ts';
import { type BrokerOptions, type BrokerProcess, startBroker } from './broker_process.ts';
import { createCertificateAuthority } from './certificates.ts';
import { Holder, type Target } from './holder.ts';
import { ISSUER, identityProvider } from './service.ts';
import { type StaticIssuer, startStaticIssuer } from './static_issuer.ts';

type Settings = Readonly<Record<string, unknown>>;

export interface LoneBrokerOptions {
  /** Part of the folder's name. */
  readonly name: string;
  /** Of the whole policy; an hour, half of it without use, and tokens for 5 min, unless told. */
  readonly limits?: Settings;
  /** Whether the API server of its cluster asks about each request, and denies where it gets no answer. */
  readonly webhook?: boolean;
  /** Whether it is spoken to by https. */
  readonly tls?: boolean;
  /** Further sections of its configuration. */
  readonly sections?: Settings;
}

export interface LoggedIn {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  /** As the webhook is told it. */
  readonly user: string;
  readonly granted: TokenReply;
}

export interface LoneBroker {
  readonly folder: string;
  readonly configFile: string;
  /** What stands there. */
  readonly settings: Settings;
  readonly url: string;
  /** PEM of the CA of its certificate. */
  readonly ca: string | undefined;
  readonly issuer: StaticIssuer;
  /** What the API server presents. */
  readonly hook: string;
  /** The process that was started last. */
  readonly process: BrokerProcess;
  /** Resolves once it is ready. One that runs must have ended. */
  start(how?: Pick<BrokerOptions, 'env' | 'descriptors'>): Promise<BrokerProcess>;
  /** A person who logs in now, by a key of their own. @param send how, where the certificate must be known */
  login(sub: string, fields?: Readonly<Record<string, string>>, send?: Target['send']): Promise<LoggedIn>;
  /** The status of `/readyz`, where it is spoken to by plain http; 0 where nobody answers. */
  ready(): Promise<number>;
  /** Ends the process at once, and removes all of it. */
  remove(): Promise<void>;
}

/** All but the process: that is started by `start`. */
export async function makeLoneBroker({
  name,
  limits = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  webhook = false,
  tls = false,
  sections = {},
}: LoneBrokerOptions): Promise<LoneBroker> {
  const folder = await mkdtemp(path.join(tmpdir(), `curfew-${name}-`));
  const issuer = await startStaticIssuer();
  const port = await freePort();
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const hook = randomBytes(32);
  await writeFile(path.join(folder, 'key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  await writeFile(path.join(folder, 'hook'), hook.toString('hex'), { mode: 0o600 });
  const authority = tls ? await createCertificateAuthority(folder) : undefined;
  const issued = await authority?.issue({ name: 'broker', hosts: ['127.0.0.1'] });
  const settings = {
    issuer: ISSUER,
    listen: {
      ...{ address: '127.0.0.1', port },
      ...(issued && { tls: { cert_file: issued.certFile, key_file: issued.keyFile } }),
    },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [
      {
        ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
        ...(webhook && { webhook: { token_file: 'hook', on_failure: 'deny' } }),
      },
    ],
    store: { sqlite: { file: 'curfew.db' } },
    policy: { limits, segments: [] },
    ...sections,
  };
  const configFile = path.join(folder, 'config.yaml');
  await writeFile(configFile, stringify(settings));
  const ca = authority?.caPem;
  let running: BrokerProcess | undefined;
  return {
    ...{ folder, configFile, settings, url, ca, issuer, hook: hook.toString('base64url') },
    get process() {
      if (!running) throw new Error('the broker was not started');
      return running;
    },
    async start(how = {}) {
      running = await startBroker({ configFile, url, ca, ...how });
      return running;
    },
    async login(sub, fields = {}, send) {
      const holder = new Holder({ url, issuer: ISSUER, ...(send && { send }) });
      const [now, email] = [holder.now(), `${sub}@example.com`];
      const times = { iat: now, exp: now + 300, auth_time: now };
      const claims = { iss: issuer.issuer, aud: 'curfew', sub, ...times, nonce: holder.nonce };
      const { granted } = await holder.exchange(issuer.sign({ ...claims, email, email_verified: true }), fields);
      const { refresh_token: handle = '', session } = granted;
      return { holder, handle, sid: session.sid, user: `curfew:${email}`, granted };
    },
    ready: () =>
      fetch(`${url}/readyz`).then(
        ({ status }) => status,
        () => 0,
      ),
    async remove() {
      await running?.kill();
      await issuer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
