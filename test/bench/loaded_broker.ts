// A broker from its bundle, with sessions in its store and a load client that holds them.

import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { seconds } from '../../shared/time.ts';
import { freePort } from '../cluster/ports.ts';
import { startBroker } from '../support/broker_process.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { ISSUER, identityProvider } from '../support/service.ts';
import { startStaticIssuer } from '../support/static_issuer.ts';
import type { Settings } from './figure.ts';
import type { Load, LoadClient, OpenLoad } from './load.ts';
import { processorTime, residentMemory } from './process.ts';
import { median, quantile } from './statistics.ts';
import { fillStore } from './store.ts';

export interface LoadedBroker {
  /** Warms up, makes proofs for the window, and measures. */
  measure(connections: number, window_seconds: number): Promise<Load>;
  /** The same for the webhook's decisions. */
  measureReviews(connections: number, window_seconds: number): Promise<Load>;
  /** The same for introspection, by a cluster. */
  measureIntrospection(connections: number, window_seconds: number): Promise<Load>;
  /** The same for the signing keys. */
  measureKeys(connections: number, window_seconds: number): Promise<Load>;
  /** Requests come at this rate, whether those before were answered or not. @param connections over which they are sent */
  measureOpen(rate: number, connections: number, window_seconds: number): Promise<OpenMeasure>;
  /** Resident memory of the broker's process, in MiB. */
  rss(): Promise<number>;
  stop(): Promise<void>;
}

export interface OpenMeasure extends OpenLoad {
  /** Microseconds of the broker's processor for each answer. */
  readonly processor_us: number;
}

export type Database = 'sqlite' | 'postgres';

export interface LoadedBrokerOptions {
  /** SQLite unless told; else a server of this process's own. */
  readonly database?: Database;
  readonly sessions: number;
  /** How many of the sessions are used. */
  readonly used: number;
  readonly tls?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

const AUDIENCE = 'dev';
const POSTGRES = { postgres: { url_file: 'database', connections: 8 }, witness_file: 'witness/curfew' };

export async function startLoadedBroker(
  { folder: parent, log, quick }: Settings,
  client: LoadClient,
  { database = 'sqlite', sessions, used, tls = false, env = {} }: LoadedBrokerOptions,
): Promise<LoadedBroker> {
  const folder = await mkdtemp(path.join(parent, 'broker-'));
  const issuer = await startStaticIssuer();
  const port = await freePort();
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const configFile = path.join(folder, 'config.yaml');
  const certificate = tls ? await certificateIn(folder) : undefined;
  const [hook, key] = [randomBytes(32), randomBytes(32)];
  await writeFile(path.join(folder, 'key'), key.toString('base64'), { mode: 0o600 });
  await writeFile(path.join(folder, 'hook'), hook.toString('base64'), { mode: 0o600 });
  const config = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port, ...(certificate && { tls: certificate.files }) },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [
      {
        ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: AUDIENCE, allowed_groups: ['*'] },
        webhook: { token_file: 'hook', on_failure: 'deny' },
      },
    ],
    store: database === 'sqlite' ? { sqlite: { file: 'curfew.db' } } : POSTGRES,
    policy: { limits: { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' } },
  };
  await writeFile(configFile, stringify(config));
  const place =
    database === 'sqlite' ? path.join(folder, 'curfew.db') : await (await sharedPostgres()).createDatabase();
  if (database === 'postgres') await writeFile(path.join(folder, 'database'), place, { mode: 0o600 });

  log(`${sessions} sessions into ${place}, ${used} of them with keys`);
  const limits = { max_age: seconds(43_200), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };
  const held = await client.keys({ set: folder, count: used, issuer: ISSUER });
  await fillStore({ place, key: createSecretKey(key), iss: issuer.issuer, limits, sessions, held, log });
  const broker = await startBroker({ configFile, url, ca: certificate?.ca, env });

  const run = (connections: number, window_seconds: number, proofs: number) =>
    client.load({
      ...{ set: folder, url, ca: certificate?.ca, audience: AUDIENCE },
      ...{ connections, seconds: window_seconds, proofs },
    });
  /** Measures, and says what one request took of the broker's processor: what else runs here moves that least. */
  const watched = async <T extends { readonly per_second: number }>(
    loading: () => Promise<T>,
    window_seconds: number,
  ) => {
    const before = await processorTime(broker);
    const load = await loading();
    const each = ((await processorTime(broker)) - before) / (load.per_second * window_seconds);
    const processor_us = each * 1e6;
    return { load, processor_us, took: `broker ${Math.round(processor_us)} µs of processor each` };
  };
  return {
    async measure(connections, window_seconds) {
      const warm = await run(connections, quick ? 0.2 : 1.5, 0);
      const proofs = Math.ceil(warm.per_second * window_seconds * 1.5);
      const { load, took } = await watched(() => run(connections, window_seconds, proofs), window_seconds);
      log(
        `${sessions} sessions, ${connections === 1 ? '1 connection' : `${connections} connections`}${tls ? ', TLS' : ''}: ${Math.round(load.per_second)}/s, ` +
          `p50 ${median(load.latencies).toFixed(2)} ms, ${took}, load client at ${Math.round(load.client_cpu * 100)} % of a core` +
          (load.late_proofs > 0 ? `, ${load.late_proofs} proofs made within the window` : ''),
      );
      return load;
    },
    async measureReviews(connections, window_seconds) {
      const where = { set: folder, url, ca: certificate?.ca, connections, token: hook.toString('base64url') };
      const made_with = { key: key.toString('hex'), audience: AUDIENCE };
      // Longer than for renewals: so much code is still being compiled then.
      await client.review({ ...where, ...made_with, seconds: quick ? 0.2 : 4 });
      const review = () => client.review({ ...where, ...made_with, seconds: window_seconds });
      const { load, took } = await watched(review, window_seconds);
      log(
        `webhook, ${sessions} sessions, ${connections} connections: ${Math.round(load.per_second)}/s, ` +
          `p50 ${median(load.latencies).toFixed(2)} ms, ${took}, load client at ${Math.round(load.client_cpu * 100)} % of a core`,
      );
      return load;
    },
    async measureIntrospection(connections, window_seconds) {
      const where = { set: folder, url, ca: certificate?.ca, connections, token: hook.toString('base64url') };
      const introspect = (seconds: number) => client.introspect({ ...where, audience: AUDIENCE, seconds });
      await introspect(quick ? 0.2 : 4);
      const { load, took } = await watched(() => introspect(window_seconds), window_seconds);
      log(`introspection, ${sayLoad(load, connections)}, ${took}`);
      return load;
    },
    async measureKeys(connections, window_seconds) {
      const where = { url, path: '/jwks', ca: certificate?.ca, connections };
      await client.fetch({ ...where, seconds: quick ? 0.2 : 4 });
      const { load, took } = await watched(() => client.fetch({ ...where, seconds: window_seconds }), window_seconds);
      log(`keys, ${sayLoad(load, connections)}, ${took}`);
      return load;
    },
    async measureOpen(rate, connections, window_seconds) {
      const where = { set: folder, url, ca: certificate?.ca, audience: AUDIENCE };
      const open = () => client.open({ ...where, rate, connections, seconds: window_seconds });
      const { load, processor_us, took } = await watched(open, window_seconds);
      log(
        `${database}, ${sessions} sessions, ${Math.round(rate)}/s asked: ${Math.round(load.per_second)}/s answered, ${load.errors} errors, ` +
          `p50 ${quantile(load.latencies, 0.5).toFixed(1)} ms, p99 ${quantile(load.latencies, 0.99).toFixed(1)} ms, ` +
          `p99.9 ${quantile(load.latencies, 0.999).toFixed(1)} ms, ${took}, ${Math.round(await residentMemory(broker))} MiB, ` +
          `load client at ${Math.round(load.client_cpu * 100)} % of a core`,
      );
      return { ...load, processor_us };
    },
    rss: () => residentMemory(broker),
    async stop() {
      await broker.stop();
      await issuer.stop();
    },
  };
}

function sayLoad({ per_second, latencies, client_cpu }: Load, connections: number): string {
  return (
    `${connections} connections: ${Math.round(per_second)}/s, p50 ${median(latencies).toFixed(2)} ms, ` +
    `load client at ${Math.round(client_cpu * 100)} % of a core`
  );
}

async function certificateIn(folder: string) {
  const authority = await createCertificateAuthority(path.join(folder, 'ca'));
  const { certFile, keyFile } = await authority.issue({ name: 'broker', hosts: ['127.0.0.1'] });
  return { ca: authority.caPem, files: { cert_file: certFile, key_file: keyFile } };
}
