// The table: every setting of the layers around that bounds something in time, or takes a bound away. Renderer, audit, admission
// policies and documents are made from it.

import { LAYER_FACTS } from './facts.ts';
import type { Layer, LayerFacts } from './layer.ts';
import { ENVOY_SWITCHES, ENVOY_TIMINGS } from './rows/envoy.ts';
import { GATEWAY_SWITCHES, GATEWAY_TIMINGS } from './rows/gateways.ts';
import { HAPROXY_SWITCHES, HAPROXY_TIMINGS } from './rows/haproxy.ts';
import { INGRESS_NGINX_SWITCHES, INGRESS_NGINX_TIMINGS } from './rows/ingress_nginx.ts';
import { LOGIN_SWITCHES, LOGIN_TIMINGS } from './rows/logins.ts';
import { MESH_SWITCHES, MESH_TIMINGS } from './rows/meshes.ts';
import { NETWORK_SWITCHES, NETWORK_TIMINGS } from './rows/network.ts';
import { NGINX_SWITCHES, NGINX_TIMINGS } from './rows/nginx.ts';
import { TRAEFIK_SWITCHES, TRAEFIK_TIMINGS } from './rows/traefik.ts';
import type { Place, Switch, Timing } from './setting.ts';

export const TIMINGS: readonly Timing[] = [
  ...INGRESS_NGINX_TIMINGS,
  ...NGINX_TIMINGS,
  ...TRAEFIK_TIMINGS,
  ...HAPROXY_TIMINGS,
  ...ENVOY_TIMINGS,
  ...GATEWAY_TIMINGS,
  ...MESH_TIMINGS,
  ...LOGIN_TIMINGS,
  ...NETWORK_TIMINGS,
];

export const SWITCHES: readonly Switch[] = [
  ...INGRESS_NGINX_SWITCHES,
  ...NGINX_SWITCHES,
  ...TRAEFIK_SWITCHES,
  ...HAPROXY_SWITCHES,
  ...ENVOY_SWITCHES,
  ...GATEWAY_SWITCHES,
  ...MESH_SWITCHES,
  ...LOGIN_SWITCHES,
  ...NETWORK_SWITCHES,
];

export interface LayerTable extends LayerFacts {
  readonly layer: Layer;
  readonly timings: readonly Timing[];
  readonly switches: readonly Switch[];
}

/** All that is known of one layer, in the order of the table. */
export function tableOf(layer: Layer): LayerTable {
  return {
    layer,
    ...LAYER_FACTS[layer],
    timings: TIMINGS.filter((timing) => timing.layer === layer),
    switches: SWITCHES.filter((one) => one.layer === layer),
  };
}

/**
 * The row of a setting.
 *
 * @param name as its place has it: an annotation, a directive, a flag, a header, or the path of a field
 * @throws TypeError where the table has none: our bug
 */
export function timingOf(layer: Layer, name: string): Timing {
  const found = TIMINGS.find((timing) => timing.layer === layer && nameOf(timing.place) === name);
  if (!found) throw new TypeError(`the table has no ${name} of ${layer}`);
  return found;
}

/** What a place is called: unique among those of a layer, its kind of place and its kinds of objects. */
export function nameOf(place: Place): string {
  switch (place.in) {
    case 'field':
    case 'file':
      return place.path;
    case 'annotation':
    case 'config_map':
    case 'directive':
    case 'flag':
    case 'header':
      return place.name;
  }
}
