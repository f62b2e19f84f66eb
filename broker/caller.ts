// Who asks, and from where.

import type { Origin } from './policy/target.ts';
import type { Proof } from './tokens/dpop.ts';

/** Who asks: the holder of a key, at an address. */
export interface Caller extends Origin {
  readonly proof: Proof;
}
