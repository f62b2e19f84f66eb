// Who asks, and from where.

import type { Proof } from '../tokens/dpop.ts';
import type { Origin } from './target.ts';

/** Who asks: the holder of a key, at an address. */
export interface Caller extends Origin {
  readonly proof: Proof;
}
