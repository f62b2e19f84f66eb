// What each layer can hold of idle, age and the end of one session.

import type { Layer, LayerFacts } from './layer.ts';

const NO_SESSION = 'it knows no session; the next request is refused by whoever it asks, what is open goes on';
const PINGS = 'bytes count, and pings are bytes';

export const LAYER_FACTS: Readonly<Record<Layer, LayerFacts>> = {
  networkpolicy: {
    title: 'NetworkPolicy',
    idle: { hold: 'no', says: 'it has no time' },
    age: { hold: 'no', says: 'it has no time' },
    session_end: { hold: 'no', says: 'a tightened policy cuts what is established under some CNIs only' },
    cutters: ['gateway', 'nftables'],
    shown: 'not run here',
  },
  'ingress-nginx': {
    title: 'ingress-nginx, and Traefik where it reads its annotations',
    idle: { hold: 'yes', says: `proxy-read-timeout and proxy-send-timeout; ${PINGS}` },
    age: { hold: 'no', says: 'nothing ends a WebSocket that is in use' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'nftables', 'ss -K'],
    shown: 'ran',
  },
  'nginx-ingress': {
    title: 'F5 NGINX Ingress Controller',
    idle: {
      hold: 'yes',
      says: `proxy-read-timeout, read-timeout of an upstream, timeout of a TransportServer; ${PINGS}`,
    },
    age: { hold: 'no', says: 'nothing ends a WebSocket that is in use' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'nftables', 'ss -K'],
    shown: 'not run here',
  },
  nginx: {
    title: 'nginx',
    idle: { hold: 'yes', says: `proxy_read_timeout, and proxy_timeout of the stream module; ${PINGS}` },
    age: {
      hold: 'no',
      says: "nothing ends a WebSocket that is in use; a reload with worker_shutdown_timeout ends everybody's",
    },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'nftables', 'ss -K'],
    shown: 'ran',
  },
  traefik: {
    title: 'Traefik',
    idle: { hold: 'yes', says: `forwardingTimeouts.readTimeout of a serversTransport, in files alone; ${PINGS}` },
    age: { hold: 'partly', says: 'writeTimeout of an entry point, of plain answers alone: a WebSocket goes on' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'nftables', 'ss -K'],
    shown: 'ran',
  },
  haproxy: {
    title: 'HAProxy',
    idle: { hold: 'yes', says: `timeout tunnel after an upgrade, timeout client and timeout server before; ${PINGS}` },
    age: { hold: 'no', says: 'no setting; its runtime API can end one connection' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'haproxy-runtime', 'nftables', 'ss -K'],
    shown: 'ran',
  },
  'haproxy-ingress': {
    title: 'HAProxy Ingress (haproxy-ingress.github.io)',
    idle: { hold: 'yes', says: `timeout-tunnel, timeout-client, timeout-server; ${PINGS}` },
    age: { hold: 'no', says: 'no setting' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'haproxy-runtime', 'nftables', 'ss -K'],
    shown: 'not run here',
  },
  'haproxytech-ingress': {
    title: 'HAProxy Kubernetes Ingress Controller (haproxy.org)',
    idle: { hold: 'yes', says: `timeout-tunnel, timeout-client, timeout-server; ${PINGS}` },
    age: { hold: 'no', says: 'no setting' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'haproxy-runtime', 'nftables', 'ss -K'],
    shown: 'not run here',
  },
  envoy: {
    title: 'Envoy',
    idle: { hold: 'yes', says: `stream_idle_timeout; ${PINGS}` },
    age: {
      hold: 'yes',
      says: 'max_stream_duration, of streams and plain answers; max_connection_duration only drains',
    },
    session_end: {
      hold: 'partly',
      says: 'its known end (max_age), where ext_authz answers with grpc-timeout; no logout, no idleness',
    },
    cutters: ['grpc-timeout', 'gateway'],
    shown: 'ran',
  },
  contour: {
    title: 'Contour',
    idle: { hold: 'yes', says: `timeoutPolicy.idle; ${PINGS}` },
    age: { hold: 'no', says: 'none for streams: maxConnectionDuration only drains' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'nftables'],
    shown: 'not run here',
  },
  'envoy-gateway': {
    title: 'Envoy Gateway',
    idle: { hold: 'yes', says: `streamIdleTimeout; ${PINGS}` },
    age: { hold: 'yes', says: 'maxStreamDuration of a BackendTrafficPolicy' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['grpc-timeout', 'gateway'],
    shown: 'not run here',
  },
  'gateway-api': {
    title: 'Gateway API',
    idle: { hold: 'no', says: 'no field for it: that is left to the policies of an implementation' },
    age: { hold: 'partly', says: 'timeouts.request, of plain requests' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'grpc-timeout', 'nftables'],
    shown: 'not run here',
  },
  istio: {
    title: 'Istio',
    idle: {
      hold: 'partly',
      says: `connectionPool.tcp.idleTimeout of TCP, stream_idle_timeout by an EnvoyFilter; ${PINGS}`,
    },
    age: { hold: 'yes', says: 'maxConnectionDuration of TCP, max_stream_duration of HTTP by an EnvoyFilter' },
    session_end: {
      hold: 'partly',
      says: 'its known end, with ext_authz and grpc-timeout; AuthorizationPolicy has no `now`',
    },
    cutters: ['grpc-timeout', 'gateway'],
    shown: 'not run here',
  },
  linkerd: {
    title: 'Linkerd',
    idle: { hold: 'yes', says: `timeout.linkerd.io/idle; ${PINGS}` },
    age: { hold: 'yes', says: 'timeout.linkerd.io/request' },
    session_end: { hold: 'no', says: NO_SESSION },
    cutters: ['gateway', 'nftables'],
    shown: 'not run here',
  },
  'oauth2-proxy': {
    title: 'OAuth2 Proxy',
    idle: { hold: 'partly', says: 'cookie-expire with cookie-refresh on; then there is no absolute limit' },
    age: {
      hold: 'partly',
      says: 'cookie-expire with cookie-refresh=0, from the cookie and not from auth_time; a WebSocket goes on',
    },
    session_end: { hold: 'no', says: 'it takes no back-channel logout, and nothing revokes a cookie' },
    cutters: ['gateway', 'nftables', 'ss -K'],
    shown: 'ran',
  },
  nftables: {
    title: 'nftables on the node',
    idle: {
      hold: 'yes',
      says: 'a set that each packet updates; what rested is reset with its next packet, not before; keepalives of TCP are packets',
    },
    age: { hold: 'yes', says: 'a set that only a SYN adds to' },
    session_end: {
      hold: 'partly',
      says: 'an element with a timeout of its own, or deleted; by address, which is not a session where NAT is between',
    },
    cutters: [],
    shown: 'ran',
  },
};
