// A login's way to the broker: token exchange (RFC 8693), as both sides see it.

import type { Seconds } from './time.ts';

/** What goes with a login's ID token in a token exchange (RFC 8693 2.1). */
export interface ExchangeParameters {
  readonly client_id: string;
  readonly nonce_random?: string | undefined;
  readonly audience?: string | undefined;
  readonly max_age?: Seconds | undefined;
  /** At a target: as whom; without it the first account that is theirs. */
  readonly account?: string | undefined;
  /** For a target of kind `ssh`: whose certificate is wanted, `ssh-ed25519 AAAA...`. */
  readonly ssh_public_key?: string | undefined;
  /** Where only the way to the target is wanted, and nothing that is presented there. */
  readonly way_alone?: boolean | undefined;
}
