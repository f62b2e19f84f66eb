// Ingress objects for the controllers that read timeouts from annotations.

import type { Layer } from '../layers_table/layer.ts';
import { timingOf } from '../layers_table/table.ts';
import { writeLength } from '../layers_table/units.ts';
import { haproxyLength } from './haproxy.ts';
import type { RenderInput } from './input.ts';
import { printObjects, serviceOf } from './objects.ts';

const ANNOTATIONS = {
  'ingress-nginx': ['nginx.ingress.kubernetes.io/proxy-read-timeout', 'nginx.ingress.kubernetes.io/proxy-send-timeout'],
  'haproxy-ingress': [
    'haproxy-ingress.github.io/timeout-client',
    'haproxy-ingress.github.io/timeout-server',
    'haproxy-ingress.github.io/timeout-tunnel',
  ],
} as const satisfies Partial<Record<Layer, readonly string[]>>;
const CLASSES = { 'ingress-nginx': 'nginx', 'haproxy-ingress': 'haproxy' } as const;

export function renderIngressNginx(input: RenderInput): string {
  return renderIngress('ingress-nginx', input, [
    'retired_controller: ingress-nginx gets no mends since March 2026; Traefik reads these annotations too',
    'auth_missing: authentication is per object (auth-url): each further Ingress of this host and path needs its own',
  ]);
}

export function renderHaproxyIngress(input: RenderInput): string {
  return renderIngress('haproxy-ingress', input, [
    'timeout-client is of the listener: the controller takes one value for all hosts, from its ConfigMap where that says one',
  ]);
}

function renderIngress(layer: keyof typeof ANNOTATIONS, input: RenderInput, more: readonly string[]): string {
  const { name, namespace, port } = serviceOf(layer, input);
  const idle = shortened(layer, input);
  const annotations = Object.fromEntries(
    ANNOTATIONS[layer].map((annotation) => [annotation, writeLength(timingOf(layer, annotation).unit, idle)]),
  );
  const backend = { service: { name, port: { number: port } } };
  const paths = [{ path: '/', pathType: 'Prefix', backend }];
  const spec = { ingressClassName: CLASSES[layer], rules: [{ host: input.host, http: { paths } }] };
  const object = { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name, namespace, annotations, spec };
  return printObjects(layer, input, [object], more);
}

function shortened(layer: keyof typeof ANNOTATIONS, { limits }: RenderInput) {
  return layer === 'haproxy-ingress' ? haproxyLength(limits.inactivity_timeout) : limits.inactivity_timeout;
}
