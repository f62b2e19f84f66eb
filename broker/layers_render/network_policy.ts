// The baseline of NetworkPolicies for one namespace: nothing but what is named goes in or out. It has no time.

import type { RenderInput } from './input.ts';
import { podLabels, printObjects, type RenderedObject, serviceOf } from './objects.ts';

/** By the label that the API server sets itself: nobody can claim another namespace's. */
const inNamespace = (name: string) => ({ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } });
const GATEWAY = { namespace: 'curfew', name: 'curfew-gateway' } as const;

export function renderNetworkPolicy(input: RenderInput): string {
  const { name, namespace, port } = serviceOf('networkpolicy', input);
  const policy = (own: string, spec: object): RenderedObject => ({
    ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', name: own, namespace },
    spec,
  });
  const app = { podSelector: { matchLabels: podLabels(name) } };
  const gateway = { ...inNamespace(GATEWAY.namespace), podSelector: { matchLabels: podLabels(GATEWAY.name) } };
  const dns = { ...inNamespace('kube-system'), podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
  const ports = [{ protocol: 'TCP', port }];
  return printObjects(
    'networkpolicy',
    input,
    [
      policy('default-deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }),
      policy('allow-dns', {
        podSelector: {},
        policyTypes: ['Egress'],
        egress: [{ to: [dns], ports: ['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 })) }],
      }),
      policy(`${name}-from-ingress`, {
        ...app,
        policyTypes: ['Ingress'],
        ingress: [{ from: [inNamespace(input.ingress)], ports }],
      }),
      policy(`${name}-from-gateway`, { ...app, policyTypes: ['Ingress'], ingress: [{ from: [gateway], ports }] }),
    ],
    [
      'netpol_not_a_cut: what is established goes on under Calico, kube-router and kube-network-policies when a policy tightens',
      'the port is that of the pods, not of the Service; what the application calls itself needs an egress rule of its own',
      'pods with hostNetwork, NodePort and LoadBalancer go around it where the CNI says so (side_door)',
    ],
  );
}
