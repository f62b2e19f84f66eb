// What knows addresses alone: the kernel of a node, and NetworkPolicy.

import type { Switch, Timing } from '../setting.ts';

const nft = {
  layer: 'nftables',
  unit: 'nft_time',
  default: null,
  zero: 'no_limit',
  absent: 'no_limit',
  versions: 'nft 1.0 and Linux 5.10, and later',
  shown: 'ran',
} as const;
const rules = (name: string) => ({ in: 'directive', file: 'nftables.conf', name }) as const;

export const NETWORK_TIMINGS: readonly Timing[] = [
  {
    ...nft,
    place: rules('set age timeout'),
    bounds: 'age',
    of: ['plain', 'stream', 'tcp'],
    trap: '`add` of the source on SYN does not move the timeout of an element that is there; by address and port, so it counts from each connection',
  },
  {
    ...nft,
    place: rules('set idle timeout'),
    bounds: 'idle',
    of: ['plain', 'stream', 'tcp'],
    trap: '`update` on each packet: keepalives of TCP are packets too. What rested for longer is reset with its next packet, not before',
  },
  {
    ...nft,
    place: rules('element timeout'),
    bounds: 'age',
    of: ['plain', 'stream', 'tcp'],
    trap: "an element with a timeout of its own, or deleted, is this session's end; an address is not a session where NAT is between",
  },
  {
    ...nft,
    place: { in: 'file', file: 'sysctl.conf', path: 'net.netfilter.nf_conntrack_tcp_timeout_established' },
    unit: 'bare_seconds',
    default: '432000',
    zero: 'at_once',
    absent: 'default',
    bounds: 'idle',
    of: [],
    trap: 'cuts nothing by itself while net.netfilter.nf_conntrack_tcp_loose=1: the next packet makes the entry again; the same for conntrack -D',
  },
];

const netpol = (path: string) => ({ in: 'field', group: 'networking.k8s.io', kinds: ['NetworkPolicy'], path }) as const;
const wide = {
  layer: 'networkpolicy',
  finding: 'netpol_allow_all',
  versions: 'networking.k8s.io/v1',
  shown: 'not run here',
} as const;
const EMPTY = { is: 'equal', values: ['{}'] } as const;

export const NETWORK_SWITCHES: readonly Switch[] = [
  {
    layer: 'networkpolicy',
    place: netpol('spec'),
    opens: { is: 'absent' },
    finding: 'netpol_none',
    versions: 'networking.k8s.io/v1',
    shown: 'not run here',
    trap: 'a pod that no policy selects is reached by everybody',
  },
  {
    layer: 'networkpolicy',
    place: netpol('spec.podSelector'),
    opens: { is: 'present' },
    finding: 'netpol_not_a_cut',
    versions: 'networking.k8s.io/v1',
    shown: 'not run here',
    trap: 'has no time. Whether a tightened policy cuts what is established depends on the CNI: Cilium and OVN-Kubernetes do; Calico, kube-router and kube-network-policies 0.8.0 do not',
  },
  { ...wide, place: netpol('spec.ingress[]'), opens: EMPTY, trap: '`ingress: [{}]` lets everything in' },
  {
    ...wide,
    place: netpol('spec.ingress[].from'),
    opens: { is: 'equal', values: ['[]'] },
    trap: '`from: []` is everybody, as an absent one is',
  },
  {
    ...wide,
    place: netpol('spec.ingress[].from[].namespaceSelector'),
    opens: EMPTY,
    trap: 'every namespace; only `matchLabels: {kubernetes.io/metadata.name: ...}` names one that nobody else can claim',
  },
  {
    ...wide,
    place: netpol('spec.ingress[].from[].ipBlock.cidr'),
    opens: { is: 'equal', values: ['0.0.0.0/0', '::/0'] },
    trap: 'the whole internet, and all pods where the CNI takes their addresses for it',
  },
  {
    layer: 'networkpolicy',
    place: netpol('spec.policyTypes'),
    opens: { is: 'absent' },
    finding: 'netpol_no_egress',
    versions: 'networking.k8s.io/v1',
    shown: 'not run here',
    trap: 'without Egress in it, whoever is inside may call out, and keep a connection that nothing in front of the pod sees',
  },
];
