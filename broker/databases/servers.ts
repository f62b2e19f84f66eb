// The database servers in which sessions have roles, by how they are reached; connections for what is made, what is ended
// and what is taken away are apart, so that an end waits neither behind those who want a role nor for what somebody holds.

import { createHash } from 'node:crypto';
import { Connections, type Server } from './connections.ts';

export interface ServerConnections {
  readonly makes: Connections;
  /** Ends what runs: never waits for what somebody holds. */
  readonly ends: Connections;
  readonly removes: Connections;
}

export interface Servers {
  of(server: Server): ServerConnections;
  close(): Promise<void>;
}

/** Who asks for a role waits for it, at a terminal. */
const MAKING = { connect: 1_500, statement: 1_500 } as const;
/** What is taken away may be much. */
const REMOVING = { connect: 2_000, statement: 5_000 } as const;

export function createServers(): Servers {
  const known = new Map<string, ServerConnections>();
  return {
    of(server) {
      const key = keyOf(server);
      const found = known.get(key);
      if (found) return found;
      const made = {
        makes: new Connections(server, MAKING),
        ends: new Connections(server, REMOVING),
        removes: new Connections(server, REMOVING),
      };
      known.set(key, made);
      return made;
    },
    async close() {
      const all = [...known.values()].flatMap(({ makes, ends, removes }) => [makes, ends, removes]);
      await Promise.all(all.map((connections) => connections.close()));
    },
  };
}

function keyOf({ name, admin, ca }: Server): string {
  const { hosts, user, database, password } = admin;
  const secret = createHash('sha256')
    .update(password?.export() ?? '')
    .digest('hex');
  return JSON.stringify([name, hosts, user, database, secret, ca]);
}
