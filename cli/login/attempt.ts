// One attempt at a login, and the refusals that another one may overcome.

import type { Metadata, MetadataCluster } from '../../shared/metadata.ts';
import type { Client } from '../session/client.ts';
import type { PrivateJwk } from '../wire/dpop.ts';
import type { Way, Wish } from './way.ts';

/** What all attempts of one login have in common. */
export interface Scene {
  readonly client: Client;
  readonly metadata: Metadata;
  readonly cluster: MetadataCluster | undefined;
  readonly key: PrivateJwk;
  /** Ends the wait for the person. */
  readonly signal: AbortSignal;
}

export interface Attempt {
  readonly way: Way;
  readonly wish: Wish;
  readonly acr_values: string | undefined;
  /** Whether the second of the end was waited out: once is enough. */
  readonly waited?: true | undefined;
}

export const AGE_REASONS: readonly string[] = ['login_too_old', 'login_after', 'idle_too_long'];
