// Partitions that a walk draws from where it has a network of its own (partitioned.ts): the kernel drops what goes to a port, or comes from it.
// Nobody is told: connections that are open stand still, new ones hang.

import { run } from '../../scripts/run.ts';
import type { WalkSite } from './walk_site.ts';
import type { Begin, Faults } from './walk_step.ts';

type Ports = (site: WalkSite, replica: number) => readonly (number | string | undefined)[];
type Way = 'dport' | 'sport';

/** What the kernel does with packets that go to these ports, or come from them. */
const cut =
  (ways: readonly Way[], how: 'blackhole' | 'unreachable', portsOf: Ports): Begin =>
  async (site, _, { replica }) => {
    const ports = portsOf(site, replica).filter((port) => port !== undefined);
    const rules = ports.flatMap((port) => ways.map((way) => ['ipproto', 'tcp', way, `${port}`, how]));
    const rule = async (what: 'add' | 'del', words: readonly string[]) => {
      const { code, stderr } = await run('ip', ['rule', what, 'pref', '10', ...words]);
      if (code !== 0) throw new Error(`ip rule ${what} ${words.join(' ')}: ${stderr}`);
    };
    for (const words of rules) await rule('add', words);
    return async () => {
      for (const words of rules) await rule('del', words);
    };
  };

const portOf = (url: string | undefined) => (url === undefined ? undefined : new URL(url).port);
const toDatabase: Ports = ({ links, brokers: { replicas } }, replica) => [links[replica % replicas.length]?.port];
const toProvider: Ports = ({ brokers: { issuer } }) => [portOf(issuer.issuer)];
const toBrokers: Ports = ({ between }) => [portOf(between.gate.url)];
const toApiServer: Ports = ({ between }) => [portOf(between.api.url)];

export const OF_NETWORK: Readonly<Record<'sqlite' | 'postgres', Faults>> = {
  sqlite: {
    'packets of brokers to the gateway are lost': cut(['sport'], 'blackhole', toBrokers),
    'packets between gateway and brokers are lost': cut(['sport', 'dport'], 'blackhole', toBrokers),
    'no way from gateway to brokers': cut(['dport'], 'unreachable', toBrokers),
    'packets of the provider are lost': cut(['sport'], 'blackhole', toProvider),
    'no way to the provider': cut(['dport'], 'unreachable', toProvider),
    'packets of the API server are lost': cut(['sport'], 'blackhole', toApiServer),
    'packets between gateway and API server are lost': cut(['sport', 'dport'], 'blackhole', toApiServer),
  },
  postgres: {
    'packets of the database to one broker are lost': cut(['sport'], 'blackhole', toDatabase),
    'packets between one broker and the database are lost': cut(['sport', 'dport'], 'blackhole', toDatabase),
    'no way from one broker to the database': cut(['dport'], 'unreachable', toDatabase),
    'packets of the database to all are lost': cut(['sport'], 'blackhole', ({ links }) =>
      links.map(({ port }) => port),
    ),
  },
};
