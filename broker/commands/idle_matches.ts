// What `check` says of parts of the policy that are for nothing: a glob with a slip of the pen leaves a cluster or a target without the
// limits that someone meant for it.

import { type Match, matches, meansClusters, meansTargets } from '../../shared/policy.ts';
import type { Config } from '../config/settings.ts';
import { accountsOf } from '../config/targets.ts';
import { type Finding, warning } from './finding.ts';

export function idleMatches(config: Config): Finding[] {
  const { segments, rules } = config.policy;
  const parts = [
    ...segments.map(({ name, match }) => ({ part: `policy.segments: ${name}`, match, looks_at: undefined })),
    ...rules.map(({ name, match, when }) => ({
      ...{ part: `policy.rules: ${name}`, match },
      looks_at: when.uses_cluster ? ('cluster' as const) : when.uses_target ? ('target' as const) : undefined,
    })),
  ];
  return parts.flatMap(({ part, match, looks_at }) => {
    if (!match) return [];
    const idle = idleLists(config, match).map((what) => warning(`${part} matches no ${what}`));
    const means = looks_at === 'cluster' ? meansClusters(match) : looks_at === 'target' ? meansTargets(match) : true;
    return means ? idle : [...idle, warning(`${part} looks at the ${looks_at}, and its match means none`)];
  });
}

/** Of each kind by itself: what fits some cluster may fit no target, though it names both. */
function idleLists({ clusters, targets }: Config, match: Match): string[] {
  const { clusters: globs, targets: names, accounts } = match;
  const idle: string[] = [];
  if (globs && !clusters.some(({ name }) => matches({ clusters: globs }, { cluster: name }))) idle.push('cluster');
  const named = targets.filter(({ name }) => !names || matches({ targets: names }, { target: name }));
  if (names && named.length === 0) idle.push('target');
  else if (
    accounts &&
    !named.some((target) =>
      accountsOf(target).some(({ account }) => matches({ accounts }, { target: target.name, account })),
    )
  )
    idle.push('account');
  return idle;
}
