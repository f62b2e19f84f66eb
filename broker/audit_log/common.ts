// What every row of the audit log may say.

import type { Seconds } from '../../shared/time.ts';

export interface Who {
  readonly iss?: string | undefined;
  readonly sub?: string | undefined;
  readonly username?: string | undefined;
}

export interface Common extends Who {
  readonly at: Seconds;
  readonly sid?: string | undefined;
  /** The socket's address, or the client's where a trusted proxy tells it. */
  readonly address?: string | undefined;
  readonly jkt?: string | undefined;
}
