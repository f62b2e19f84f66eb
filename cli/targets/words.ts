// What a gateway says of a connection that it refuses or ends, as an error of ours: `code` is one of the codes, why a session ended, or a
// word that only the gateway has. It puts the way on behind its words, which is a hint here.

import { CurfewError, isCode } from '../../shared/errors.ts';
import { isEndReason } from '../../shared/wire.ts';
import type { Client } from '../session/client.ts';
import type { Remembered } from '../warm/entry.ts';
import { oneLine } from '../warm/one_line.ts';
import { passRefused } from './pass.ts';

export interface GatewayWords {
  readonly code: string;
  readonly message: string;
}

/** Whether it is about the session or the person: asking again does not change it. */
export function refusedBy({ code, message }: GatewayWords): Remembered {
  const { words, way } = split(message);
  if (isEndReason(code)) return { reason: 'session_ended', message: words, end_reason: code };
  if (isCode(code)) return { reason: code, message: words };
  const hint = way === undefined || way.startsWith('run: kubectl curfew login') ? undefined : way;
  return { reason: 'login_failed', message: words, ...(hint !== undefined && { hint }) };
}

/** @param what the connection that is meant, before the gateway's own words */
export function errorOf(client: Pick<Client, 'is_default' | 'url'>, told: GatewayWords, what: string): CurfewError {
  const { words, way } = split(told.message);
  // The session is as it was: this connection alone is over, or this gateway.
  if (way !== undefined && AGAIN.includes(way)) return new CurfewError('busy', `${what}${words}`, { hint: way });
  const refused = refusedBy(told);
  return passRefused(client, { ...refused, message: `${what}${refused.message}` });
}

const AGAIN: readonly string[] = ['connect again', 'try again'];

function split(message: string): { readonly words: string; readonly way: string | undefined } {
  const text = oneLine(message).replace(/^curfew: /, '');
  const [, words = text, way] = /^(.*); (run: kubectl curfew login.*|connect again|try again)$/.exec(text) ?? [];
  return { words, way };
}
