// What the audit finds: each with a name that stays, the rule that it breaks, how bad it is, and what to do instead. Words only.

import type { FindingName as TableName } from '../layers_table/setting.ts';

/** As SARIF 2.1.0 has them (3.27.10). */
export type Level = 'error' | 'warning' | 'note';

interface Meaning {
  readonly rule?: 'AL1' | 'AL2' | 'AL3' | 'AL4' | 'AL5' | 'AL6' | 'AL7' | 'AL8';
  readonly level: Level;
  readonly says: string;
  readonly instead: string;
}

export type FindingName = TableName | 'unreadable';

const RENDER = 'see curfew-broker layers render for the settings that fit';

export const FINDINGS: Readonly<Record<FindingName, Meaning>> = {
  idle_too_long: {
    ...{ rule: 'AL1', level: 'error', says: 'an idle timeout that is longer than inactivity_timeout' },
    instead: `at most inactivity_timeout: ${RENDER}`,
  },
  idle_unbounded: {
    ...{ rule: 'AL1', level: 'error', says: 'no idle timeout: what was abandoned stays open' },
    instead: `set one, at most inactivity_timeout: ${RENDER}`,
  },
  age_too_long: {
    ...{ rule: 'AL2', level: 'error', says: 'an age that is longer than max_age' },
    instead: `at most max_age: ${RENDER}`,
  },
  no_age_bound: {
    ...{ rule: 'AL3', level: 'warning', says: 'nothing ends a connection that is in use: it outlives the session' },
    instead: 'put something in front that cuts (curfew-broker layers explain), and name it: curfew.internal/cutter',
  },
  verdict_cached: {
    ...{ rule: 'AL4', level: 'error', says: 'an answer of the authority is kept for longer than token_ttl' },
    instead: 'keep none (Cache-Control: no-store), or for at most token_ttl',
  },
  no_revocation: {
    ...{ rule: 'AL5', level: 'warning', says: 'a login in a cookie that nobody can take back before its end' },
    instead: 'cookie-expire of at most token_ttl, or cookie-refresh with an absolute limit at the identity provider',
  },
  no_absolute_limit: {
    ...{ rule: 'AL5', level: 'error', says: 'a login that each refresh makes new: who is active stays in for ever' },
    instead:
      'cookie-refresh=0 and cookie-expire of at most max_age; or an absolute limit at the identity provider, named: curfew.internal/absolute-limit',
  },
  affinity_outlives: {
    ...{ rule: 'AL6', level: 'warning', says: 'an affinity cookie that outlives max_age' },
    instead: 'at most max_age, or until the browser is closed',
  },
  idle_order: {
    ...{ rule: 'AL7', level: 'warning', says: 'an idle timeout that is longer than that of what is behind it' },
    instead: 'the outermost is the shortest, so that the person is told by what knows of sessions',
  },
  unit_misread: {
    ...{ rule: 'AL8', level: 'error', says: 'a length that the controller does not read as it is written' },
    instead: 'the unit that it wants: curfew-broker layers explain',
  },
  auth_missing: {
    ...{ level: 'error', says: 'a path that asks nobody whether there is a session' },
    instead: 'the same authentication on every object and path of the host',
  },
  auth_elsewhere: {
    ...{
      level: 'note',
      says: 'an authority that is not among what was audited: how long its logins last is not known',
    },
    instead: 'audit it as well, or ask the broker (docs/layers-audit.md)',
  },
  auth_fail_open: {
    ...{ level: 'error', says: 'whoever makes the authority fail is let through' },
    instead: 'refuse where it cannot be asked',
  },
  auth_bypass: {
    ...{ level: 'error', says: 'a way around the authentication' },
    instead: 'take it away; what must be open has a host of its own',
  },
  identity_spoof: {
    ...{ level: 'error', says: 'headers of the client are believed' },
    instead: 'remove them at the edge, and believe only addresses of proxies of your own',
  },
  side_door: {
    ...{ level: 'error', says: 'a way to the pods that does not lead through the ingress' },
    instead: 'type ClusterIP, no host ports, and a NetworkPolicy that admits the ingress alone',
  },
  netpol_none: {
    ...{ level: 'warning', says: 'no NetworkPolicy selects these pods: any pod reaches them without the ingress' },
    instead: 'curfew-broker layers render --layer networkpolicy',
  },
  netpol_allow_all: {
    ...{ level: 'error', says: 'a NetworkPolicy that admits everybody' },
    instead: 'name the namespace of the ingress by kubernetes.io/metadata.name, and its pods',
  },
  netpol_no_egress: {
    ...{ level: 'warning', says: 'no NetworkPolicy restricts what these pods call' },
    instead: 'Egress in policyTypes, with what they need',
  },
  netpol_not_a_cut: {
    ...{ level: 'error', says: 'a NetworkPolicy is named as what cuts: it has no time' },
    instead: 'name what cuts: curfew-broker layers explain networkpolicy',
  },
  keepalive_defeats_idle: {
    ...{ level: 'warning', says: 'keepalives of TCP count as use for the idle timeout of the node' },
    instead: 'no keepalive shorter than the idle timeout where the node counts packets',
  },
  retired_controller: {
    ...{ level: 'warning', says: 'a controller that gets no mends since March 2026' },
    instead: 'another controller, such as Traefik, which reads the same annotations',
  },
  setting_ignored: {
    ...{ level: 'warning', says: 'a setting that nothing reads' },
    instead: 'take it away, or write it where the controller reads it',
  },
  drift: {
    ...{ level: 'error', says: 'it was rendered for other limits, or changed since' },
    instead: 'curfew-broker layers render again',
  },
  unreadable: {
    ...{ level: 'error', says: 'it could not be read: nothing is known of it' },
    instead: 'mend it, or render the template first',
  },
};
