// Which controller reads an object: by its class, and by the annotations that only one of them knows.

import { LAYER_FACTS } from '../layers_table/facts.ts';
import { CUTTER, CUTTERS, type Cutter, type Layer } from '../layers_table/layer.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { textAt } from '../manifests/values.ts';

/** Prefixes of annotations, each of one controller. */
const PREFIXES = [
  ['nginx.ingress.kubernetes.io/', 'ingress-nginx'],
  ['nginx.org/', 'nginx-ingress'],
  ['nginx.com/', 'nginx-ingress'],
  ['haproxy-ingress.github.io/', 'haproxy-ingress'],
  ['ingress.kubernetes.io/', 'haproxy-ingress'],
  ['haproxy.org/', 'haproxytech-ingress'],
  ['traefik.ingress.kubernetes.io/', 'traefik'],
  ['projectcontour.io/', 'contour'],
] as const satisfies readonly (readonly [string, Layer])[];

/** Names that a class usually has, with all who may read it. The first is taken where no annotation says otherwise. */
const CLASSES: readonly (readonly [RegExp, readonly Layer[]])[] = [
  // Its annotations are read by Traefik too, under whatever class it is given.
  [/^(?:nginx|ingress-nginx)/, ['ingress-nginx', 'nginx-ingress']],
  [/^traefik/, ['traefik', 'ingress-nginx']],
  [/^haproxy/, ['haproxy-ingress', 'haproxytech-ingress']],
  [/^contour/, ['contour']],
];

/** Classes of controllers of which the table knows nothing: nobody else's annotations hold there. */
const OTHERS = /^(?:alb|gce|cilium|kong|istio|azure|apisix|tyk|ambassador|webapprouting)/;

export function classOf({ value, annotations }: KubeObject): string | undefined {
  return textAt(value, 'spec', 'ingressClassName') ?? annotations['kubernetes.io/ingress.class'];
}

/** The one controller whose settings an Ingress is judged by. */
export function layerOfIngress(object: KubeObject): Layer | undefined {
  const may = readersOf(classOf(object));
  const written = layersWritten(object);
  if (may === undefined) return written[0];
  return written.find((layer) => may.includes(layer)) ?? may[0];
}

/** Who may read a class; `undefined` where its name says nothing. */
function readersOf(name: string | undefined): readonly Layer[] | undefined {
  if (name === undefined) return undefined;
  if (OTHERS.test(name)) return [];
  return CLASSES.find(([pattern]) => pattern.test(name))?.[1];
}

/** Whose annotations are on it, each once. */
export function layersWritten({ annotations }: KubeObject): readonly Layer[] {
  const names = Object.keys(annotations);
  const found = PREFIXES.filter(([prefix]) => names.some((name) => name.startsWith(prefix))).map(([, layer]) => layer);
  return [...new Set<Layer>(found)];
}

/** Annotations that the class of an Ingress does not read. */
export function unreadAnnotations(object: KubeObject): readonly string[] {
  const may = readersOf(classOf(object));
  if (may === undefined) return [];
  return Object.keys(object.annotations).filter((name) => {
    const layer = PREFIXES.find(([prefix]) => name.startsWith(prefix))?.[1];
    return layer !== undefined && !may.includes(layer);
  });
}

/** The ConfigMap of a controller, by the names and labels that its chart gives it. */
export function layerOfConfigMap({ kind, name, labels }: KubeObject): Layer | undefined {
  if (kind !== 'ConfigMap') return undefined;
  const app = labels['app.kubernetes.io/name'] ?? labels.app ?? '';
  const is = (...names: readonly RegExp[]) => names.some((one) => one.test(name));
  if (is(/^(?:.*-)?ingress-nginx-controller$/, /^nginx-configuration$/) || (app === 'ingress-nginx' && !is(/tcp|udp/)))
    return 'ingress-nginx';
  if (is(/^nginx-config$/, /^.*nginx-ingress(?:-controller)?$/) || app === 'nginx-ingress') return 'nginx-ingress';
  if (is(/^.*haproxy-kubernetes-ingress.*$/) || app === 'kubernetes-ingress') return 'haproxytech-ingress';
  return is(/^.*haproxy-ingress.*$/) || app === 'haproxy-ingress' ? 'haproxy-ingress' : undefined;
}

export { CUTTER };

/** What is named as ending what the layer cannot end, as it is written. */
export function cutterWritten({ annotations }: KubeObject): string | undefined {
  return annotations[CUTTER];
}

export function isCutter(text: string | undefined): text is Cutter {
  return text !== undefined && Object.hasOwn(CUTTERS, text);
}

/** Cutters that end what is idle as well. */
export function holdsIdle(cutter: string | undefined): boolean {
  return cutter === 'gateway' || cutter === 'nftables';
}

export function cuttersOf(layer: Layer): string {
  return LAYER_FACTS[layer].cutters.join(', ');
}
