// At which servers roles of a target can be: where the configuration has it, and where it had it since this process began, as what was made
// there is taken away there.

import type { Config } from '../config/settings.ts';
import type { Server } from './connections.ts';
import { type Label, labelOf } from './name.ts';
import { createServers, type ServerConnections } from './servers.ts';

export interface Place {
  readonly connections: ServerConnections;
  /** Whether the configuration has it there now. */
  readonly current: boolean;
}

export class Databases {
  /** Of the store: by it the roles that it has made are known. */
  readonly label: Label;
  readonly #servers = createServers();
  /** By the target's name, then by where it is. */
  readonly #known = new Map<string, Map<string, Server>>();

  /** @param database_id of the store */
  constructor(database_id: string) {
    this.label = labelOf(database_id);
  }

  /** By the target's settings, where it is now. */
  at(target: Server): ServerConnections {
    return this.#servers.of(target);
  }

  /** Gives up what is under way. */
  close(): Promise<void> {
    return this.#servers.close();
  }

  /** @param config in force: what it names is known from here on */
  of({ targets }: Pick<Config, 'targets'>, name: string): readonly Place[] {
    for (const target of targets) {
      if (target.kind !== 'postgres') continue;
      const known = this.#known.get(target.name) ?? new Map<string, Server>();
      this.#known.set(target.name, known.set(placeOf(target), target));
    }
    const target = targets.find((one) => one.name === name);
    const here = target?.kind === 'postgres' ? placeOf(target) : undefined;
    return [...(this.#known.get(name) ?? [])].map(([place, server]) => ({
      connections: this.#servers.of(server),
      current: place === here,
    }));
  }
}

function placeOf({ admin: { hosts } }: Server): string {
  return JSON.stringify(hosts);
}
