// What the configuration says of targets: found by name, and the limits of each and of its accounts.

import { CurfewError } from '../../shared/errors.ts';
import { EVERY, type ResolvedLimits, resolveLimits } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Config } from './settings.ts';
import type { AccountMapping, TargetSettings } from './target_settings.ts';

/** @throws CurfewError `usage` when there is no target of this name */
export function targetNamed({ targets, file }: Pick<Config, 'targets' | 'file'>, wanted: string): TargetSettings {
  const target = targets.find(({ name }) => name === wanted);
  if (target) return target;
  const names = targets.length === 0 ? 'and no other' : `only ${targets.map(({ name }) => name).join(', ')}`;
  throw new CurfewError('usage', `there is no target ${JSON.stringify(wanted)} in ${file}, ${names}`);
}

/** As whom people can be there; none where its kind has no accounts. */
export function accountsOf(target: TargetSettings): readonly AccountMapping[] {
  return target.kind === 'tcp' ? [] : target.accounts;
}

/**
 * The limits of one target: the policy, and what the caller asks for. The latter tightens only.
 *
 * @param account as whom; without it what holds for none in particular
 * @param max_age the plugin's `--max-age`, in seconds
 */
export function accessLimits(
  { policy }: Pick<Config, 'policy'>,
  { name }: Pick<TargetSettings, 'name'>,
  account?: string | undefined,
  max_age?: Seconds | undefined,
): ResolvedLimits {
  return resolveLimits(policy, { target: name, account }, { max_age });
}

/** The smallest limits that any account of the target can meet, apart from what rules yield. */
export function strictestAccess(config: Pick<Config, 'policy'>, target: TargetSettings): ResolvedLimits {
  return accessLimits(config, target, accountsOf(target).length === 0 ? undefined : EVERY);
}
