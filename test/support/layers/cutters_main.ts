// In a network namespace of its own: what `ss -K` cuts on a node, and what a short timeout of conntrack does not. Prints what became of each.
// Its arguments: `nft`, the port of the application.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { until } from '../patience.ts';
import { openStream, startApp } from './app.ts';

const [nft = '', port_text = ''] = process.argv.slice(2);
const port = Number(port_text);

export interface CuttersTale {
  /** Whether it was cut by `ss -K`, and the other one was not. */
  readonly killed: boolean;
  readonly other_killed: boolean;
  /** Of one that rested for longer than the timeout of conntrack: whether it was cut, and whether it was answered again. */
  readonly forgotten_cut: boolean;
  readonly forgotten_answered: boolean;
}

const NETFILTER = '/proc/sys/net/netfilter';
/** As a firewall is usually written. */
const RULES = `table inet usual {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state invalid drop
		ct state established,related accept
		ct state new accept
	}
}
`;

async function main(): Promise<CuttersTale> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  execFileSync(nft, ['-f', '-'], { input: RULES });
  writeFileSync(`${NETFILTER}/nf_conntrack_tcp_timeout_established`, '1');
  writeFileSync(`${NETFILTER}/nf_conntrack_tcp_loose`, '1');
  const app = await startApp('127.0.0.1', port);
  const open = (does: 'rest' | 'talk') => openStream({ port, host: 'orders.example.com', does });
  const [one, other, rests] = await Promise.all([open('talk'), open('talk'), open('rest')]);
  execFileSync('ss', ['-K', 'state', 'established', `( sport = :${port} and dport = :${one.local_port} )`]);
  await until(() => one.ended !== undefined, 'ss -K cuts nothing');
  await until(() => rests.age() > 4_000, 'time stands still');
  rests.say();
  await until(() => rests.received > 0 || rests.ended !== undefined, 'it is neither answered nor cut');
  const tale = {
    killed: one.ended !== undefined,
    other_killed: other.ended !== undefined,
    forgotten_cut: rests.ended !== undefined,
    forgotten_answered: rests.received > 0,
  };
  for (const stream of [one, other, rests]) stream.close();
  app.close();
  return tale;
}

if (import.meta.main) process.stdout.write(JSON.stringify(await main()), () => process.exit(0));
