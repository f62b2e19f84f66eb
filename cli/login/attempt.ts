// One attempt at a login, and the refusals that another one mends.

import type { Way, Wish } from './way.ts';

export interface Attempt {
  readonly way: Way;
  readonly wish: Wish;
  readonly acr_values: string | undefined;
  /** Whether the second of the end was waited out: once is enough. */
  readonly waited?: true | undefined;
}

export const AGE: readonly string[] = ['login_too_old', 'login_after', 'idle_too_long'];
