// What a role of a session is called, and by what it is known again as one of this store's: by its name, by a comment on it, and by the
// role that all of them are in. Other roles may have one of these, and are left alone.

import { createHash, randomBytes } from 'node:crypto';

/** Every role of a session is in it: `pg_hba.conf` tells them by it. */
export const CURFEW = 'curfew';
/** Bytes of a name that PostgreSQL keeps; it cuts the rest off. */
export const LONGEST_NAME = 63;

/** Of a store, so that the roles of another broker's are left alone. */
export interface Label {
  /** What names begin with. */
  readonly prefix: string;
  /** What comments begin with. */
  readonly mark: string;
}

/** @param database_id of the store */
export function labelOf(database_id: string): Label {
  const hash = createHash('sha256').update(`curfew roles ${database_id}`).digest('hex');
  return { prefix: `curfew_${hash.slice(0, 10)}_`, mark: `curfew-broker ${hash.slice(10)} ` };
}

/** Of no other role, ever: 128 random bits. */
export function nameOf({ prefix }: Label, sid: string): string {
  return `${prefix}${sid.slice(0, 8)}_${randomBytes(16).toString('hex')}`;
}

const REST = /^[A-Za-z0-9_-]{1,8}_[0-9a-f]{32}$/;

/** Whether a name is made as `nameOf` makes it. */
export function isNamed({ prefix }: Label, name: string): boolean {
  return name.startsWith(prefix) && REST.test(name.slice(prefix.length));
}

/** Whose session it is, for whoever reads the catalog of the database. */
export function commentOf({ mark }: Label, { sid, username }: { readonly sid: string; readonly username: string }) {
  return `${mark}${JSON.stringify({ sid, username })}`;
}
