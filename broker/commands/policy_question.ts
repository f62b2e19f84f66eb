// A question to the policy: what holds for this person and this target. Answered by the very functions of exchange, renewal
// and webhook, so that the answer is theirs.

import { isIP } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';
import { type ResolvedLimits, type Target, withYields } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import { groupsTighten, targetLimits } from '../config/clusters.ts';
import type { Config } from '../config/settings.ts';
import { admits } from '../policy/groups.ts';
import { type FoundTarget, resolveTarget, ruleFacts, type Unresolved, type Wish } from '../policy/target.ts';
import type { RuleFacts } from '../rules/facts.ts';
import { parseTime } from '../text/rfc3339.ts';

/** Names as the IdP gives them. */
export interface Question {
  readonly user: RuleFacts['user'];
  /** Without a cluster or target it is about a login for none. */
  readonly target: Target;
  readonly address: string;
  readonly login_address: string;
  readonly user_agent?: string | undefined;
  readonly time: Seconds;
}

/** Where nobody says where a request comes from. */
export const ASSUMED_ADDRESS = '127.0.0.1';

export type Answer =
  | { readonly limits: ResolvedLimits }
  | { readonly refused: 'groups' | 'not_admitted' | Unresolved['refused']; readonly rule?: string | undefined };

export function answerTo(config: Config, question: Question): Answer {
  const { user, target, login_address, time } = question;
  // As a login: somebody without groups cannot be told from somebody whose groups got lost on the way.
  if (user.groups.length === 0 && groupsTighten(config)) return { refused: 'groups' };
  if (!admits(config.identity_provider.allowed_groups, user.groups)) return { refused: 'not_admitted' };
  const wish = wishOf(config, target);
  if (!wish) return { refused: 'invalid_target' };
  const asked = resolveTarget(config, wish, { user, login_address }, question, time);
  if ('refused' in asked) return asked;
  if (!asked.cluster || target.target !== undefined) return { limits: asked.limits };
  const { cluster: _, ...within } = target;
  return { limits: withYields(targetLimits(config, asked.cluster, within), target, asked.yields) };
}

/** @returns `undefined` where there is nothing of that name */
function wishOf({ clusters, targets }: Config, target: Target): Wish | undefined {
  if (target.target !== undefined) {
    const audience = targets.find(({ name }) => name === target.target)?.audience;
    return audience === undefined ? undefined : { audience, account: target.account };
  }
  if (target.cluster === undefined) return {};
  const audience = clusters.find(({ name }) => name === target.cluster)?.audience;
  return audience === undefined ? undefined : { audience };
}

/** What rules see. */
export function factsOf({ user, login_address, time, ...origin }: Question, found: FoundTarget): RuleFacts {
  return ruleFacts({ user, login_address }, origin, found, time);
}

/** A question as it is typed. */
export interface TypedQuestion {
  readonly user: string;
  readonly groups: string;
  readonly cluster?: string;
  readonly namespace?: string;
  readonly resource?: string;
  readonly target?: string;
  readonly account?: string;
  readonly acr?: string;
  readonly amr?: string;
  readonly address?: string;
  readonly time?: string;
}

/** @throws CurfewError `usage` for an address or a time that is none, and where it is not about one cluster or one target */
export function parseQuestion(typed: TypedQuestion, now: Seconds): Question {
  const { user: name, acr, address = ASSUMED_ADDRESS } = typed;
  const time = typed.time === undefined ? now : parseTime(typed.time);
  if (time === undefined) throw new CurfewError('usage', '--time: expected a time such as 2027-01-15T08:00:00Z');
  if (isIP(address) === 0) throw new CurfewError('usage', '--address: expected an IP address');
  return {
    user: { name, groups: listed(typed.groups), acr, amr: listed(typed.amr ?? '') },
    target: targetOf(typed),
    address,
    login_address: address,
    time,
  };
}

function targetOf({ cluster, namespace, resource, target, account }: TypedQuestion): Target {
  if ((cluster === undefined) === (target === undefined))
    throw new CurfewError('usage', 'expected --cluster or --target, and not both');
  if (target !== undefined) {
    if ((namespace ?? resource) !== undefined)
      throw new CurfewError('usage', '--namespace, --resource: only with --cluster');
    return { target, ...(account !== undefined && { account }) };
  }
  if (account !== undefined) throw new CurfewError('usage', '--account: only with --target');
  return {
    ...(cluster !== undefined && { cluster }),
    ...(namespace !== undefined && { namespace }),
    ...(resource !== undefined && { resource }),
  };
}

function listed(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}
