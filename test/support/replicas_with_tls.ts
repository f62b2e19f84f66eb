// Two brokers on one database in PostgreSQL, as docs/replicas.md has them: TLS of their own, one address, a load balancer before them.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Balancer, startBalancer } from './balancer.ts';
import { type Brokers, makeBrokers } from './brokers.ts';
import { createCertificateAuthority } from './certificates.ts';
import { until } from './patience.ts';
import { sharedPostgres } from './postgres.ts';

export interface ReplicasWithTls {
  /** Of all of them. */
  readonly url: string;
  readonly ca_file: string;
  readonly brokers: Brokers;
  readonly balancer: Balancer;
  stop(): Promise<void>;
}

/** @param connections of each to the database */
export async function startReplicasWithTls(connections: number): Promise<ReplicasWithTls> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-replicas-'));
  const authority = await createCertificateAuthority(folder);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'broker', hosts: ['127.0.0.1'] });
  let brokers: Brokers | undefined;
  const balancer = await startBalancer(() => brokers?.urls() ?? [], authority.caPem);
  brokers = await makeBrokers({
    database: await (await sharedPostgres()).createDatabase(),
    count: 2,
    sections: {
      issuer: balancer.url,
      listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } },
      store: { postgres: { url_file: 'database', connections }, witness_file: 'witness/curfew' },
    },
  });
  const made = brokers;
  for (const replica of made.replicas) await replica.start({ ca: authority.caPem });
  await until(() => balancer.ready.length === 2, 'the load balancer knows no two brokers');
  return {
    ...{ url: balancer.url, ca_file: authority.caFile, brokers: made, balancer },
    async stop() {
      await balancer.stop();
      await made.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
