// Through what a connection goes: a proxy of the environment or none, and whose certificates are believed.

import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import { isLoopback } from '../../shared/origin.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import type { Environment } from '../warm/machine.ts';
import { type ProxyServer, proxyFor } from './proxy.ts';

/** @throws CurfewError `configuration`. What goes to this very machine goes to no proxy */
export function proxyTo(env: Environment, target: URL): ProxyServer | undefined {
  return isLoopback(target.hostname) ? undefined : proxyFor(env, target);
}

export type Agents = ReturnType<typeof createAgents>;

/** The few roots are tried first: reading all of the system's costs more than the request. Nothing is sent before one fits. */
export function createAgents(proxy: ProxyServer | undefined, own: readonly string[] | undefined) {
  let all: https.Agent | undefined;
  return {
    plain: new http.Agent({ proxyEnv: {} }),
    few: agentWith(proxy, own),
    all: () => (all ??= agentWith(proxy, everyRoot(own))),
  };
}

/** @param roots that are believed, and no others; without any, those that Node.js comes with */
export function agentWith(proxy: ProxyServer | undefined, roots: readonly string[] | undefined): https.Agent {
  // Decided already: it must not be decided once more, in another way.
  const proxyEnv = proxy === undefined ? {} : { HTTPS_PROXY: proxy.url };
  return new https.Agent({ ...STRONG_TLS, proxyEnv, ...(roots && { ca: [...roots] }) });
}

export function everyRoot(own: readonly string[] = []): string[] {
  return [...new Set([...own, ...tls.getCACertificates('default'), ...tls.getCACertificates('system')])];
}
