// Traefik 3: its files, and its custom resources.

import type { Switch, Timing } from '../setting.ts';

const VERSIONS = '3';
const inFile = (path: string) => ({ in: 'file', file: 'traefik.yaml', path }) as const;
const dynamic = (path: string) => ({ in: 'file', file: 'dynamic.yaml', path }) as const;
const crd = (kind: string, path: string) => ({ in: 'field', group: 'traefik.io', kinds: [kind], path }) as const;
const timing = {
  layer: 'traefik',
  unit: 'traefik_duration',
  absent: 'default',
  zero: 'no_limit',
  versions: VERSIONS,
} as const;
const FORWARDING = 'http.serversTransports.*.forwardingTimeouts';
const RESPONDING = 'entryPoints.*.transport.respondingTimeouts';
const NEVER_A_WEBSOCKET = 'never touches a WebSocket, once it is upgraded';

export const TRAEFIK_TIMINGS: readonly Timing[] = [
  {
    ...timing,
    place: dynamic(`${FORWARDING}.readTimeout`),
    default: '0',
    bounds: 'idle',
    of: ['plain', 'stream'],
    versions: '3.6 and later',
    shown: 'ran',
    trap: 'in files alone: the custom resource ServersTransport refuses it, and by default there is none',
  },
  {
    ...timing,
    place: dynamic(`${FORWARDING}.writeTimeout`),
    default: '0',
    bounds: 'idle',
    of: ['plain', 'stream'],
    versions: '3.6 and later',
    shown: 'not run here',
    trap: 'in files alone, between two writes to the application',
  },
  {
    ...timing,
    place: dynamic(`${FORWARDING}.idleConnTimeout`),
    default: '90s',
    bounds: 'idle',
    of: ['connection'],
    shown: 'not run here',
    trap: `of connections that wait for a request: ${NEVER_A_WEBSOCKET}`,
  },
  {
    ...timing,
    place: crd('ServersTransport', 'spec.forwardingTimeouts.idleConnTimeout'),
    default: '90s',
    bounds: 'idle',
    of: ['connection'],
    shown: 'not run here',
    trap: `of connections that wait for a request: ${NEVER_A_WEBSOCKET}`,
  },
  {
    ...timing,
    place: dynamic(`${FORWARDING}.responseHeaderTimeout`),
    default: '0',
    bounds: 'request',
    of: ['plain'],
    shown: 'not run here',
    trap: 'until the head of the answer: a long answer goes on',
  },
  {
    ...timing,
    place: inFile(`${RESPONDING}.readTimeout`),
    default: '60s',
    bounds: 'request',
    of: ['plain'],
    shown: 'ran',
    trap: `of reading a request with its body; ${NEVER_A_WEBSOCKET}`,
  },
  {
    ...timing,
    place: inFile(`${RESPONDING}.writeTimeout`),
    default: '0',
    bounds: 'age',
    of: ['plain'],
    shown: 'ran',
    trap: `an age of plain answers alone: ${NEVER_A_WEBSOCKET}`,
  },
  {
    ...timing,
    place: inFile(`${RESPONDING}.idleTimeout`),
    default: '180s',
    bounds: 'idle',
    of: ['connection'],
    shown: 'ran',
    trap: `between two requests; ${NEVER_A_WEBSOCKET}`,
  },
  {
    ...timing,
    place: inFile('entryPoints.*.transport.keepAliveMaxTime'),
    default: '0',
    bounds: 'age',
    of: ['connection'],
    shown: 'not run here',
    trap: 'no further request after that; a WebSocket goes on',
  },
  {
    ...timing,
    place: dynamic('http.services.*.loadBalancer.sticky.cookie.maxAge'),
    unit: 'bare_seconds',
    default: '0',
    zero: 'browser_session',
    absent: 'browser_session',
    bounds: 'cookie',
    of: ['plain'],
    shown: 'not run here',
    trap: 'of the affinity cookie; less than zero deletes it',
  },
];

export const TRAEFIK_SWITCHES: readonly Switch[] = [
  ...(['http.middlewares.*.forwardAuth.trustForwardHeader'] as const).map((path) => ({
    ...({ layer: 'traefik', place: dynamic(path), opens: { is: 'equal', values: ['true'] } } as const),
    ...({ finding: 'identity_spoof', versions: VERSIONS, shown: 'not run here' } as const),
    trap: 'X-Forwarded-* of the client reach the authority, so the client says which URL is judged',
  })),
  {
    layer: 'traefik',
    place: crd('Middleware', 'spec.forwardAuth.trustForwardHeader'),
    opens: { is: 'equal', values: ['true'] },
    finding: 'identity_spoof',
    versions: VERSIONS,
    shown: 'not run here',
    trap: 'X-Forwarded-* of the client reach the authority, so the client says which URL is judged',
  },
  {
    layer: 'traefik',
    place: crd('IngressRoute', 'spec.routes[].middlewares'),
    opens: { is: 'absent' },
    finding: 'auth_missing',
    versions: VERSIONS,
    shown: 'not run here',
    trap: 'per route: one without the middleware asks nobody',
  },
  {
    layer: 'traefik',
    place: crd('ServersTransport', 'spec.forwardingTimeouts.readTimeout'),
    opens: { is: 'present' },
    finding: 'setting_ignored',
    versions: VERSIONS,
    shown: 'ran',
    trap: 'the custom resource does not have it: refused by a strict API server, dropped by another',
  },
];
