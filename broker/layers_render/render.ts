// Which layers are rendered, each by its own file.

import type { Layer } from '../layers_table/layer.ts';
import { renderEnvoy } from './envoy.ts';
import { renderGatewayApi } from './gateway_api.ts';
import { renderHaproxy } from './haproxy.ts';
import { renderHaproxyIngress, renderIngressNginx } from './ingresses.ts';
import type { RenderInput } from './input.ts';
import { renderIstio, renderLinkerd } from './meshes.ts';
import { renderNetworkPolicy } from './network_policy.ts';
import { renderNftables } from './nftables.ts';
import { renderNginx } from './nginx.ts';
import { renderOAuth2Proxy } from './oauth2_proxy.ts';
import { renderTraefik } from './traefik.ts';

/** The same input gives the same bytes. @throws CurfewError `usage` where a layer cannot be in front of the target */
export const RENDERERS = {
  networkpolicy: renderNetworkPolicy,
  'ingress-nginx': renderIngressNginx,
  nginx: renderNginx,
  traefik: renderTraefik,
  haproxy: renderHaproxy,
  'haproxy-ingress': renderHaproxyIngress,
  envoy: renderEnvoy,
  'gateway-api': renderGatewayApi,
  istio: renderIstio,
  linkerd: renderLinkerd,
  'oauth2-proxy': renderOAuth2Proxy,
  nftables: renderNftables,
} as const satisfies Partial<Record<Layer, (input: RenderInput) => string>>;
export type RenderedLayer = keyof typeof RENDERERS;

export const RENDERED_LAYERS = Object.keys(RENDERERS) as readonly RenderedLayer[];
