// What `check` says of targets by their settings alone: the limits of each, and accounts that nobody can have.

import { formatDuration } from '../../shared/duration.ts';
import type { Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import { accessLimits, accountsOf, strictestAccess } from '../config/targets.ts';
import { type Finding, note, ok, warning } from './finding.ts';

export function checkTargets(config: Config): Finding[] {
  return config.targets.flatMap((target) => checkTarget(config, target));
}

function checkTarget(config: Config, target: TargetSettings): Finding[] {
  const { name, kind } = target;
  const limits = accessLimits(config, target).target;
  const says = (['max_age', 'inactivity_timeout'] as const).map((key) => `${key} ${formatDuration(limits[key])}`);
  const acr = limits.acr ? `, acr ${limits.acr.join(' or ')}` : '';
  return [
    ok(`target ${name}: ${kind}, ${says.join(', ')}${acr}`),
    ...(strictestAccess(config, target).target.acr?.length === 0
      ? [warning(`target ${name}: no acr satisfies all its accounts`)]
      : []),
    ...idleAccounts(config, target),
    ...(kind === 'tcp'
      ? [note(`target ${name}: kind tcp: what people present there is their own, and outlives their sessions`)]
      : []),
  ];
}

/** Whom it admits, and whose an account is, are lists of groups: where they share none, only somebody in both has it. */
function idleAccounts({ identity_provider }: Config, target: TargetSettings): Finding[] {
  const { name, allowed_groups } = target;
  const accounts = accountsOf(target);
  const share = (one: readonly string[], other: readonly string[]) =>
    one.includes('*') || other.includes('*') || one.some((group) => other.includes(group));
  const unshared = accounts.flatMap(({ account, groups }) =>
    share(groups, allowed_groups) && share(groups, identity_provider.allowed_groups)
      ? []
      : [warning(`target ${name}: account ${account}: none of its groups is admitted: nobody may have it`)],
  );
  const lone = allowed_groups.filter(
    (group) => accounts.length > 0 && group !== '*' && !accounts.some(({ groups }) => share([group], groups)),
  );
  return [
    ...unshared,
    ...lone.map((group) => warning(`target ${name}: ${group} is admitted, and no account there is for that group`)),
  ];
}
