// As whom a person is at a target.

import type { TargetSettings } from '../config/target_settings.ts';
import { accountsOf } from '../config/targets.ts';
import { admits } from './groups.ts';

/** @returns all that can be theirs, in the order of the configuration */
export function theirAccounts(target: TargetSettings, idp_groups: readonly string[]): readonly string[] {
  return accountsOf(target).flatMap(({ account, groups }) => (admits(groups, idp_groups) ? [account] : []));
}

/** As whom; nothing where the kind of the target has no accounts. */
export interface AsWhom {
  readonly account?: string | undefined;
}

/**
 * The account that is asked for, where it can be theirs; without one the first that can.
 *
 * @returns `undefined` where the target does not admit them, or not so
 */
export function asWhom(target: TargetSettings, idp_groups: readonly string[], wanted?: string): AsWhom | undefined {
  if (!admits(target.allowed_groups, idp_groups)) return undefined;
  if (target.kind === 'tcp') return wanted === undefined ? {} : undefined;
  const theirs = theirAccounts(target, idp_groups);
  const account = wanted === undefined ? theirs[0] : theirs.find((one) => one === wanted);
  return account === undefined ? undefined : { account };
}

/** Whether a target admits somebody with these groups, as whomever. */
export function mayReach(target: TargetSettings, idp_groups: readonly string[]): boolean {
  return asWhom(target, idp_groups) !== undefined;
}

/** Whether it does as this very account; without one, where its kind has none. */
export function mayReachAs(
  target: TargetSettings,
  idp_groups: readonly string[],
  account: string | undefined,
): boolean {
  const named = target.kind === 'tcp' || account !== undefined;
  return named && asWhom(target, idp_groups, account) !== undefined;
}
