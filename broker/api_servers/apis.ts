// The API servers that the broker asks, two connection pools each, kept while the configuration names them.

import { Agent } from 'undici';
import { STRONG_TLS } from '../../shared/tls.ts';
import type { Cluster } from '../config/settings.ts';
import { type ClusterApi, createClusterApi } from './api.ts';

export interface ClusterApis {
  of(cluster: Cluster): ClusterApi;
  /** Gives up what is under way. */
  close(): Promise<void>;
}

const CONNECT_MS = 2_000;

export function createClusterApis(): ClusterApis {
  const stopped = new AbortController();
  const agents = new Map<string, Agent>();
  const agentOf = ({ server, ca }: Cluster, work: 'mints' | 'deletions'): Agent => {
    const key = JSON.stringify([server, ca, work]);
    const known = agents.get(key);
    if (known) return known;
    // said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing; its own authority instead of the system's, as in kubeconfig
    const connect = { ...STRONG_TLS, timeout: CONNECT_MS, rejectUnauthorized: true, ...(ca !== undefined && { ca }) };
    const agent = new Agent({ connect, connections: 16, keepAliveTimeout: 30_000 });
    agents.set(key, agent);
    return agent;
  };
  return {
    // An end does not wait behind those who want a token.
    of(cluster) {
      const agents = { mints: agentOf(cluster, 'mints'), deletions: agentOf(cluster, 'deletions') };
      return createClusterApi(cluster, agents, stopped.signal);
    },
    async close() {
      stopped.abort();
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
    },
  };
}
