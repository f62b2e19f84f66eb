// Why a database did not do as it was told, in words: of what it says itself no more than the code, as its texts may repeat a statement.

import { CurfewError } from '../../shared/errors.ts';
import { codeOf, isLost } from '../postgres/faults.ts';

const MEANINGS: Readonly<Record<string, string>> = {
  '28000': 'does not let the account of the broker in: see pg_hba.conf',
  '28P01': 'does not take the password of the account of the broker',
  '3D000': 'does not have that database',
  '42501': 'does not give the account of the broker the right to do it',
  '2BP01': 'has something that depends on the role',
  '55P03': 'has a lock on what is to be changed',
  '57014': 'did not do it in time',
  '53300': 'takes no more connections',
};

/** @param where it was asked for */
export function databaseFailure(error: unknown, where: string): CurfewError {
  if (error instanceof CurfewError || error instanceof TypeError) throw error;
  return new CurfewError('database', `${where} ${sayFailure(error)}`, { cause: error });
}

export function sayFailure(error: unknown): string {
  const code = codeOf(error);
  if (/CERT|SELF_SIGNED|ISSUER|ERR_TLS|SIGNATURE/.test(code))
    return `has a certificate that is not trusted (${code}): see ca_file`;
  const known = MEANINGS[code];
  if (known !== undefined) return known;
  if (!isLost(error)) return `refused it (SQLSTATE ${code})`;
  if (/^[0-9A-Z]{5}$/.test(code)) return `broke off (SQLSTATE ${code})`;
  if (error instanceof Error && /does not support SSL/.test(error.message)) return 'does not speak TLS';
  if (error instanceof Error && /timeout/i.test(error.message)) return 'did not answer in time';
  return `cannot be reached (${code || 'no code'})`;
}
