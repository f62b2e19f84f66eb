// How often what is repeated is repeated: few times in `npm test`, as often as SECURITY.md says in `npm run test:long`. A long form sets
// `CURFEW_LONG` and runs the same test.

/** By name: in `npm test`, and in the long form. */
const COUNTS = {
  /** Plugins that are killed while they write their cache. */
  cache_kills: [50, 500],
  /** Brokers that are killed under load, on each database. */
  broker_kills: [25, 1_000],
  /** Kills of the database server under load. */
  database_kills: [3, 60],
  /** Of `store copy`, at any moment. */
  copy_kills: [8, 200],
  /** Power cuts of the machine under load, on each database. */
  power_cuts: [4, 100],
  /** Of the database server to its standby, which then gets one of its own. */
  failovers: [1, 10],
  /** Sessions that are ended at one of several replicas, for each number of replicas. */
  replica_ends: [30, 1_000],
  /** Sessions that are ended with ten streams each at a gateway under load. */
  gateway_ends: [10, 100],
  /** Requests by chance at a gateway, and as many at what the broker has for gateways. */
  gateway_chance: [200, 5_000],
  /** MiB that are copied through a gateway, each way. */
  gateway_mib: [64, 1_024],
  /** Calls of a client that nobody sits at, by the program that answers. */
  refused_calls: [100, 500],
  /** kubectls at once through the native program, and through Node.js. */
  crowd_native: [50, 50],
  crowd_node: [16, 50],
} as const satisfies Readonly<Record<string, readonly [number, number]>>;

export const isLong = process.env.CURFEW_LONG !== undefined;

export function countOf(name: keyof typeof COUNTS): number {
  return COUNTS[name][isLong ? 1 : 0];
}
