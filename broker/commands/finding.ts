// One line of what `check` says. Shape and makers only.

import type { Code } from '../../shared/errors.ts';

export interface Finding {
  readonly level: 'ok' | 'note' | 'warning' | 'error';
  readonly text: string;
  /** Of an error: gives the exit status. */
  readonly code?: Code | undefined;
}

export const ok = (text: string): Finding => ({ level: 'ok', text });
/** What nobody here can find out, and how to. */
export const note = (text: string): Finding => ({ level: 'note', text });
export const warning = (text: string): Finding => ({ level: 'warning', text });
export const error = (text: string, code: Code = 'configuration'): Finding => ({ level: 'error', text, code });
