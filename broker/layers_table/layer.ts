// The layers around: which there are, and what each can hold of a session's three limits. Facts alone, nothing is decided here.

/** What a limit of ours may be held by: a setting of the layer, or nothing of it. */
export const LAYERS = [
  'networkpolicy',
  'ingress-nginx',
  'nginx-ingress',
  'nginx',
  'traefik',
  'haproxy',
  'haproxy-ingress',
  'haproxytech-ingress',
  'envoy',
  'contour',
  'envoy-gateway',
  'gateway-api',
  'istio',
  'linkerd',
  'oauth2-proxy',
  'nftables',
] as const;
export type Layer = (typeof LAYERS)[number];

/** `ran` is what was seen on real parts; the rest is read in sources and documents, or judged by a schema. */
export type Shown = 'ran' | 'not run here';

/** How much of a limit a layer can hold: for all that it carries, for some of it (the words say which), or for nothing. */
export type Hold = 'yes' | 'partly' | 'no';

/** What ends what the layer itself cannot end. */
export const CUTTERS = {
  gateway: 'the gateway of Curfew as a hop in front of the application: idle, age and every end of the session',
  'grpc-timeout':
    "Envoy with ext_authz, which answers with `grpc-timeout`: a stream ends at the session's known end (max_age), not at a logout or at idleness",
  nftables:
    'sets of nftables on the node: age, idle, and an element that is deleted at the end of a session; by address, so everybody behind one NAT is meant',
  'ss -K': "`ss -K` on the proxy's own socket: one connection of one client",
  'haproxy-runtime':
    'the runtime API of HAProxy, `shutdown session`: whoever may speak to that socket has all of the proxy',
} as const;
export type Cutter = keyof typeof CUTTERS;

/** By what an object, or the comment of a file, names the one that ends what its layer cannot end. */
export const CUTTER = 'curfew.internal/cutter';

/** One of the three limits, as a layer holds it. */
export interface Held {
  readonly hold: Hold;
  /** One sentence: of what, by which setting, and what it leaves out. */
  readonly says: string;
}

export interface LayerFacts {
  readonly title: string;
  /** Time without traffic. Bytes count, and pings are bytes: this ends what was abandoned, never who is inactive. */
  readonly idle: Held;
  /** Time since the connection, request or login began. */
  readonly age: Held;
  /** The end of this one session, whenever that is. */
  readonly session_end: Held;
  /** What helps where `age` or `session_end` is not held for a connection that was upgraded; empty where nothing is missing. */
  readonly cutters: readonly Cutter[];
  readonly shown: Shown;
}

/** @returns whether this is a layer that is known */
export function isLayer(text: unknown): text is Layer {
  return typeof text === 'string' && (LAYERS as readonly string[]).includes(text);
}
