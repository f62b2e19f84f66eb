// How the plugin says that there is no credential: one error line, one hint line, an exit status. Part of the warm path.

import { CurfewError, isCode, meaning } from '../../shared/errors.ts';
import type { Remembered } from './entry.ts';
import { oneLine } from './one_line.ts';

export interface AskedBroker {
  /** The broker's key, from `brokerKey`. */
  readonly url: string;
  /** Whether commands mean this broker without being told. */
  readonly is_default: boolean;
}

/** A refusal as the error that the person sees, with the shortest command that helps. */
export function asError(
  { url, is_default }: AskedBroker,
  { reason, message, hint: own }: Remembered,
  cluster?: string,
): CurfewError {
  const code = isCode(reason) ? reason : 'login_failed';
  if (own !== undefined) return new CurfewError(code, message, { hint: own });
  // A plain login is judged by the session's limits; only one for the cluster brings the acr that the cluster wants.
  const target = code === 'acr_too_low' && cluster !== undefined ? ` --cluster ${cluster}` : '';
  const hint = meaning(code).hint.replace(/kubectl curfew login$/, `${sayLogin({ url, is_default })}${target}`);
  return new CurfewError(code, message, { hint });
}

/** The shortest command that logs in at this broker. */
export function sayLogin({ url, is_default }: AskedBroker): string {
  return `kubectl curfew login${is_default ? '' : ` --broker ${url}`}`;
}

/** Message, code and hint: never a cause, which may carry tokens, and never a stack. */
export function sayError({ message, hint }: CurfewError): readonly [string, string] {
  return [`error: ${oneLine(message)}`, `hint: ${oneLine(hint)}`];
}

/** The same as it goes to stderr. */
export function printError(error: CurfewError): string {
  return sayError(error)
    .map((line) => `curfew: ${line}\n`)
    .join('');
}
