// Sets of nftables on a node: age and idle of every connection to one port, by source address and port.

import { writeLength } from '../layers_table/units.ts';
import { headOf } from './head.ts';
import type { RenderInput } from './input.ts';

const FAMILIES = [
  ['4', 'ip', 'ipv4_addr'],
  ['6', 'ip6', 'ipv6_addr'],
] as const;
/** Connections that are known at once; beyond that a new one is refused. */
const SIZE = 65_536;

export function renderNftables(input: RenderInput): string {
  const { inactivity_timeout, max_age } = input.limits;
  const { port } = input.target;
  const sets = FAMILIES.flatMap(([version, , type]) => [
    set(`age${version}`, type, writeLength('nft_time', max_age)),
    set(`idle${version}`, type, writeLength('nft_time', inactivity_timeout)),
  ]);
  const more = [
    'for nft -f. A new connection is added to both sets; age does not move, idle moves with each packet; who is in neither is reset',
    'connections that are open when it is loaded are reset: load it when that may be',
    'age counts from each connection, not from the login: an element with a timeout of its own, or deleted, is the end of one session:',
    '  nft delete element inet curfew age4 { 203.0.113.7 . 51334 }',
    'in the cluster the packets of pods pass forward, those of programs of the node input: both are looked at',
  ];
  return `${headOf('nftables', input, more)}table inet curfew
delete table inet curfew
table inet curfew {
${sets.join('\n')}

	chain limits {
		tcp flags & rst == rst accept
${FAMILIES.map(([version, family]) => rules(version, family)).join('\n')}
	}

	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport ${port} jump limits
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		tcp dport ${port} jump limits
	}
}
`;
}

function set(name: string, type: string, timeout: string): string {
  return `	set ${name} {
		type ${type} . inet_service
		flags dynamic,timeout
		timeout ${timeout}
		size ${SIZE}
	}`;
}

/** A SYN on a connection that conntrack knows is not new: nobody lengthens one by sending it. */
function rules(version: string, family: string): string {
  const key = `{ ${family} saddr . tcp sport }`;
  const element = `${family} saddr . tcp sport`;
  return [
    `ct state new tcp flags & (fin | syn | rst | ack) == syn add @age${version} ${key} add @idle${version} ${key} accept`,
    `meta nfproto ipv${version} ${element} != @age${version} reject with tcp reset`,
    `meta nfproto ipv${version} ${element} != @idle${version} reject with tcp reset`,
    `meta nfproto ipv${version} update @idle${version} ${key} accept`,
  ]
    .map((line) => `\t\t${line}`)
    .join('\n');
}
