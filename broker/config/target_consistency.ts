// What must hold between targets, their gateway and the rest of the settings. Each rule lists its faults; none throws.

import { formatPath } from '../../serving/config/faults.ts';
import type { TargetKind } from '../../shared/targets.ts';
import { gatewayAudience } from '../../shared/token_typ.ts';
import { sayAccess, unsatisfiableTarget } from './acr.ts';
import type { Sections } from './schema.ts';

type Given = Partial<Sections>;
type Rule = (given: Given) => string[];
type Target = NonNullable<Sections['targets']>[number];

/** What the tokens of a target are for, where nothing else is said. */
export function audienceOf({ audience, name }: Pick<Target, 'audience' | 'name'>): string {
  return audience ?? name;
}

const REQUIRED: Readonly<Record<TargetKind, readonly (keyof Target)[]>> = {
  ssh: ['host_key', 'accounts'],
  postgres: ['admin_url_file', 'databases', 'accounts'],
  tcp: [],
};
const OPTIONAL: Readonly<Record<TargetKind, readonly (keyof Target)[]>> = {
  ssh: ['permit'],
  postgres: ['ca_file'],
  tcp: [],
};
const OF_A_KIND = [...new Set([...Object.values(REQUIRED), ...Object.values(OPTIONAL)].flat())];

const targetsWhole: Rule = ({ targets = [] }) =>
  targets.flatMap((target, i) => {
    const { kind } = target;
    const known = [...REQUIRED[kind], ...OPTIONAL[kind]];
    const path = (key: keyof Target) => formatPath(['targets', i, key]);
    return [
      ...REQUIRED[kind]
        .filter((key) => target[key] === undefined)
        .map((key) => `${path(key)}: required with kind: ${kind}`),
      ...OF_A_KIND.filter((key) => target[key] !== undefined && !known.includes(key)).map(
        (key) => `${path(key)}: not with kind: ${kind}`,
      ),
    ];
  });

/** Nobody would reach targets without one, and one without targets is a mistake. */
const behindGateway: Rule = ({ target_gateway, targets = [] }) => {
  if (targets.length > 0 && !target_gateway) return ['target_gateway: required, as there are targets'];
  return target_gateway && targets.length === 0 ? ['target_gateway: there are no targets behind it'] : [];
};

/** A name or audience means one thing, whatever its kind. */
const namesApart: Rule = ({ clusters = [], targets = [], issuer, identity_provider }) => {
  const taken = new Set(clusters.map(({ name }) => name));
  const audiences = new Set(clusters.map(({ audience }) => audience));
  const reserved = new Set([...taken].map(gatewayAudience));
  return targets.flatMap((target, i) => {
    const path = (key: keyof Target) => formatPath(['targets', i, key]);
    const faults: string[] = [];
    if (taken.has(target.name)) faults.push(`${path('name')}: belongs to a cluster or another target already`);
    taken.add(target.name);
    const audience = audienceOf(target);
    if (audiences.has(audience)) faults.push(`${path('audience')}: belongs to a cluster or another target already`);
    audiences.add(audience);
    if (reserved.has(audience)) faults.push(`${path('audience')}: is reserved for the gateway of a cluster`);
    if (audience === issuer) faults.push(`${path('audience')}: must differ from issuer`);
    if (audience === identity_provider?.client_id)
      faults.push(`${path('audience')}: must differ from identity_provider.client_id`);
    return faults;
  });
};

/** Else there would be a way to a target without what its kind asks for. */
const portsApart: Rule = ({ targets = [] }) => {
  const place = ({ address: { host, port } }: Target) => JSON.stringify([host, port]);
  return targets.flatMap((target, i) =>
    target.kind === 'tcp' && targets.some((other) => other !== target && place(other) === place(target))
      ? [`${formatPath(['targets', i, 'address'])}: is that of another target, which kind: tcp would lead around`]
      : [],
  );
};

const accountsOnce: Rule = ({ targets = [] }) =>
  targets.flatMap(({ accounts = [] }, i) =>
    accounts.flatMap(({ account }, j) =>
      accounts.findIndex((other) => other.account === account) < j
        ? [`${formatPath(['targets', i, 'accounts', j, 'account'])}: is there twice`]
        : [],
    ),
  );

const acrSatisfiable: Rule = ({ targets = [], policy }) => {
  if (!policy) return [];
  return targets.flatMap(({ name, accounts = [] }, i) => {
    const target = { name, accounts: accounts.map(({ account }) => account) };
    const nowhere = unsatisfiableTarget(policy, target);
    if (nowhere) {
      const where = [formatPath(['targets', i]), sayAccess(nowhere)].filter(Boolean).join(': ');
      return [`${where}: the segments that match leave no acr that would satisfy all of them`];
    }
    return policy.rules.flatMap((rule, i) => {
      const denied = rule.when.uses_cluster ? undefined : unsatisfiableTarget(policy, target, rule);
      if (!denied) return [];
      const where = [`target ${name}`, sayAccess(denied)].filter(Boolean).join(' ');
      return [`${formatPath(['policy', 'rules', i, 'limits', 'acr'])}: none of these would satisfy ${where} as well`];
    });
  });
};

export const TARGET_RULES: readonly Rule[] = [
  targetsWhole,
  behindGateway,
  namesApart,
  portsApart,
  accountsOnce,
  acrSatisfiable,
];
