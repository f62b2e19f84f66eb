// What a transaction holds before it decides on people, so that of two that decide on the same one the second sees what the first did,
// also where there is no row of it yet.

import type { Person } from './login_after.ts';
import type { Meant } from './meant.ts';

/** Their sessions, and from when a login counts. */
export function personHeld({ iss, sub }: Person): string {
  return `person ${JSON.stringify([iss, sub])}`;
}

/** A key has one active session. @param jkt its thumbprint (RFC 7638) */
export function keyHeld(jkt: string): string {
  return `key ${jkt}`;
}

export function nameHeld(username: string): string {
  return `name ${username}`;
}

/** Whom a word of the identity provider speaks of. */
export function meantHeld({ iss, sub, idp_sid }: Meant): readonly string[] {
  return [
    ...(sub === undefined ? [] : [personHeld({ iss, sub })]),
    ...(idp_sid === undefined ? [] : [`idp_sid ${JSON.stringify([iss, idp_sid])}`]),
  ];
}
