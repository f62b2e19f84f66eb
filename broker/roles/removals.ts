// Takes away the roles of sessions that are over. What is due is in the store: it is tried until it is done, also after a crash, and
// overdue ones come first. What hangs at one server keeps no other end waiting.

import { every } from '../../serving/background.ts';
import { CurfewError } from '../../shared/errors.ts';
import { prolongRole } from '../databases/make.ts';
import { findOurs } from '../databases/remove.ts';
import { findBySid } from '../sessions/find.ts';
import {
  adoptRoles,
  dueRoles,
  heldRoles,
  keepValidUntil,
  reviewRole,
  type SessionRole,
} from '../sessions/session_roles.ts';
import { isBeingMade } from './making.ts';
import { type Looking, removeAt } from './remove_at.ts';

/** Milliseconds between two looks at what is due, and at all that is there. */
const EVERY_MS = 500;
const SWEEP_MS = 60_000;
const AT_ONCE = 200;

export interface Removals {
  /** Something has ended: looks at once. */
  wake(): void;
  /**
   * Makes one round of everything.
   *
   * @returns when it is done: the targets where there may be roles that no row knows, as nobody could look
   */
  sweep(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export function startRemovals(broker: Looking): Removals {
  const fail = (error: unknown) => sayFailure(broker, error);
  /** Names of those that are being taken away just now. */
  const leaving = new Set<string>();
  const work = new Set<Promise<void>>();
  /** Without waiting for it: another server, or another role, may be quicker. */
  const begin = (target: string, roles: readonly SessionRole[]) => {
    for (const { name } of roles) leaving.add(name);
    const done = removeAt(broker, target, roles)
      .catch(fail)
      .finally(() => {
        for (const { name } of roles) leaving.delete(name);
        work.delete(done);
      });
    work.add(done);
  };
  let to_sweep = false;
  const due = every(
    EVERY_MS,
    async () => {
      if (broker.turn && !(await broker.turn.mine())) return;
      // It was another's turn until now.
      if (to_sweep) void everything.wake();
      await lookAtDue(broker, leaving, begin);
    },
    fail,
  );
  let unseen: readonly string[] = [];
  const everything = every(
    SWEEP_MS,
    async () => {
      to_sweep = broker.turn !== undefined && !(await broker.turn.mine());
      if (to_sweep) return;
      unseen = namesOfTargets(broker);
      await reviewAll(broker);
      unseen = await adoptLeftOvers(broker);
      await due.wake();
    },
    fail,
  );
  void due.wake();
  void everything.wake();
  return {
    wake: () => void due.wake(),
    async sweep() {
      await everything.wake();
      await due.wake();
      await Promise.all(work);
      return unseen;
    },
    async stop() {
      await Promise.all([due.stop(), everything.stop()]);
      await Promise.all(work);
    },
  };
}

function sayFailure({ log }: Looking, error: unknown): void {
  const reason = error instanceof CurfewError ? error.message : 'unexpected error';
  log.error({ reason }, 'roles of ended sessions could not be looked after: trying again');
}

function namesOfTargets({ config }: Looking): readonly string[] {
  return config.targets.flatMap(({ kind, name }) => (kind === 'postgres' ? [name] : []));
}

/** Looks at all that is due: what is to go is taken away, each target by itself. */
async function lookAtDue(
  broker: Looking,
  leaving: ReadonlySet<string>,
  begin: (target: string, roles: readonly SessionRole[]) => void,
): Promise<void> {
  const { store, now } = broker;
  const found = await store.read((db) => dueRoles(db, now(), AT_ONCE + leaving.size));
  const due = found.filter((role) => !leaving.has(role.name) && !isBeingMade(role));
  const going = await reviewEach(broker, due);
  for (const target of new Set(going.map((role) => role.target))) {
    begin(
      target,
      going.filter((role) => role.target === target),
    );
  }
}

/** Looks at the sessions of those that may stay. @returns those that are to go */
async function reviewEach(broker: Looking, roles: readonly SessionRole[]): Promise<readonly SessionRole[]> {
  const { store, touches, now } = broker;
  const going = roles.filter(({ doomed }) => doomed === 1);
  const open = roles.filter(({ doomed }) => doomed === 0);
  if (open.length === 0) return going;
  const judged = await store.transaction(async (transaction) => {
    const { config } = broker;
    const fates: { readonly role: SessionRole; readonly fate: Awaited<ReturnType<typeof reviewRole>> }[] = [];
    for (const role of open) {
      const found = await findBySid(transaction.db, role.sid);
      const [session] = found ? await touches.apply(transaction, [found]) : [];
      fates.push({ role, fate: await reviewRole(transaction, config, role, session, now()) });
    }
    return fates;
  });
  await Promise.all(
    judged.map(async ({ role, fate }) => ('until' in fate ? prolong(broker, role, fate.until) : undefined)),
  );
  return [...going, ...judged.flatMap(({ role, fate }) => ('goes' in fate ? [role] : []))];
}

/** The database is told that the session lasts longer. Where it is not reached, it is told with the next look at all. */
async function prolong(
  broker: Looking,
  { name, target }: SessionRole,
  until: SessionRole['valid_until'],
): Promise<void> {
  const { config, databases, store, log } = broker;
  const [place] = databases.of(config, target).filter(({ current }) => current);
  if (!place) return;
  try {
    await place.connections.makes.use((query) => prolongRole(query, name, until));
    await store.transaction((transaction) => keepValidUntil(transaction, name, until));
  } catch (error) {
    if (!(error instanceof CurfewError) || error.code === 'store') throw error;
    log.warn({ target, role: name, reason: error.message }, 'a role could not be prolonged: trying again');
  }
}

/** All that is active, by the configuration in force: a policy that was tightened acts on roles too. */
async function reviewAll(broker: Looking): Promise<void> {
  for (let after = '', more = true; more; ) {
    const page = await broker.store.read((db) => heldRoles(db, after, AT_ONCE));
    await reviewEach(
      broker,
      page.filter((role) => !isBeingMade(role)),
    );
    after = page.at(-1)?.name ?? '';
    more = page.length === AT_ONCE;
  }
}

/**
 * Roles of ours that are in no row: of an answer that was lost, or of a store that was put back.
 *
 * @returns the targets where nobody could look
 */
async function adoptLeftOvers(broker: Looking): Promise<readonly string[]> {
  const { config, databases } = broker;
  const names = namesOfTargets(broker);
  if (names.length === 0) return [];
  const seen = await Promise.all(
    names.map(async (name) => {
      const looked = await Promise.all(
        databases.of(config, name).map(({ connections }) => adopt(broker, name, connections.removes)),
      );
      return looked.every(Boolean);
    }),
  );
  return names.filter((_, i) => !seen[i]);
}

async function adopt(
  { store, databases: { label }, log, now }: Looking,
  target: string,
  connections: Parameters<typeof findOurs>[0],
): Promise<boolean> {
  try {
    const found = await findOurs(connections, label);
    const left = await store.transaction((transaction) => adoptRoles(transaction, target, found, now()));
    if (left > 0) log.warn({ target, roles: left }, 'roles of no session are taken away');
    return true;
  } catch (error) {
    if (!(error instanceof CurfewError) || error.code === 'store') throw error;
    log.warn({ target, reason: error.message }, 'left-over roles could not be looked for');
    return false;
  }
}
