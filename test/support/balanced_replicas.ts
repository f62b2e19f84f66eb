// Two brokers on one database in PostgreSQL, as docs/replicas.md has them: one address, and a load balancer before them.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Balancer, startBalancer } from './balancer.ts';
import { type Brokers, makeBrokers } from './brokers.ts';
import { createCertificateAuthority } from './certificates.ts';
import { until } from './patience.ts';
import { sharedPostgres } from './postgres.ts';

export interface BalancedReplicas {
  /** Of all of them. */
  readonly url: string;
  /** Of their certificate. */
  readonly ca_file: string;
  readonly brokers: Brokers;
  readonly balancer: Balancer;
  stop(): Promise<void>;
}

/** @param connections of each to the database */
export async function startBalancedReplicas(connections: number): Promise<BalancedReplicas> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-replicas-'));
  const own = await certificateIn(folder);
  let brokers: Brokers | undefined;
  const balancer = await startBalancer(() => brokers?.urls() ?? [], own.ca);
  brokers = await makeBrokers({
    database: await (await sharedPostgres()).createDatabase(),
    count: 2,
    sections: {
      issuer: balancer.url,
      listen: { address: '127.0.0.1', port: 0, tls: own.tls },
      store: { postgres: { url_file: 'database', connections }, witness_file: 'witness/curfew' },
    },
  });
  const made = brokers;
  const stop = async () => {
    await balancer.stop();
    await made.remove();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (const replica of made.replicas) await replica.start({ ca: own.ca });
    await until(() => balancer.ready.length === 2, 'the load balancer knows no two brokers');
    return { url: balancer.url, ca_file: own.ca_file, brokers: made, balancer, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function certificateIn(folder: string) {
  const authority = await createCertificateAuthority(folder);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'broker', hosts: ['127.0.0.1'] });
  return { ca: authority.caPem, ca_file: authority.caFile, tls: { cert_file, key_file } };
}
