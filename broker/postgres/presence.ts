// Which replicas are connected, as the server knows it: each puts what it says of itself into the name of the connection that follows the
// feed. So nobody is listed who is gone, and nothing is left behind.

import type { Client } from 'pg';
import { seconds } from '../../shared/time.ts';
import type { Presence } from '../store/presence.ts';

/** Asked of the server's clock: the connection of a machine that vanished stays for a while, and asks nothing any more. */
const LONGEST_SILENCE = `interval '10 s'`;
const SAY = `select set_config('application_name', $1, false)`;
/** Names of connections are known to every role; since when they rest only to the same role. */
const ASK = `select application_name as name from pg_stat_activity where datname = current_database()
  and application_name ~ '^curfew-broker [0-9a-f]{16} [0-9]+ [0-9]+$'
  and coalesce(state_change, clock_timestamp()) > clock_timestamp() - ${LONGEST_SILENCE}`;

export async function sayPresence(client: Client, { digest, since, reloaded }: Presence): Promise<void> {
  await client.query(SAY, [`curfew-broker ${digest} ${since} ${reloaded}`]);
}

export async function replicasOn(client: Client): Promise<readonly Presence[]> {
  const { rows } = await client.query<{ name: string }>(ASK);
  return rows.map(({ name }) => {
    const [, digest = '', since, reloaded] = name.split(' ');
    return { digest, since: seconds(Number(since)), reloaded: seconds(Number(reloaded)) };
  });
}
