// What a rule can look at. Names as the IdP gives them; what is not known is empty, never absent, except the cluster of a
// login that is for none, and the target likewise.

import type { Environment } from '@marcbachmann/cel-js';
import { plainSpelling } from '../../serving/net/address.ts';
import type { TargetKind } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import { Moment, registerMoment } from './moment.ts';

export interface RuleFacts {
  readonly user: {
    readonly name: string;
    readonly groups: readonly string[];
    readonly acr?: string | undefined;
    readonly amr: readonly string[];
  };
  readonly request: { readonly address: string; readonly time: Seconds; readonly user_agent?: string | undefined };
  /** Absent at a login that is for no cluster: rules that look at it are then not evaluated. */
  readonly cluster?: { readonly name: string; readonly labels: Readonly<Record<string, string>> } | undefined;
  /** The same of a target. */
  readonly target?:
    | { readonly name: string; readonly kind: TargetKind; readonly account?: string | undefined }
    | undefined;
  readonly session: { readonly address: string };
}

/** The facts as conditions take them, made once for all rules. */
export interface Variables {
  readonly user: User;
  readonly request: Request;
  readonly cluster?: Cluster;
  readonly target?: Target;
  readonly session: Session;
}

// The language knows a type by its class, so that it need not convert anything each time.
class User {
  readonly name: string;
  readonly groups: readonly string[];
  readonly acr: string;
  readonly amr: readonly string[];
  constructor({ name, groups, acr = '', amr }: RuleFacts['user']) {
    this.name = name;
    this.groups = groups;
    this.acr = acr;
    this.amr = amr;
  }
}

class Request {
  readonly address: string;
  readonly time: Moment;
  readonly user_agent: string;
  constructor({ address, time, user_agent = '' }: RuleFacts['request']) {
    this.address = plainSpelling(address);
    this.time = new Moment(time);
    this.user_agent = user_agent;
  }
}

class Cluster {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  constructor({ name, labels }: NonNullable<RuleFacts['cluster']>) {
    this.name = name;
    this.labels = labels;
  }
}

class Target {
  readonly name: string;
  readonly kind: string;
  readonly account: string;
  constructor({ name, kind, account = '' }: NonNullable<RuleFacts['target']>) {
    this.name = name;
    this.kind = kind;
    this.account = account;
  }
}

class Session {
  readonly address: string;
  constructor({ address }: RuleFacts['session']) {
    this.address = plainSpelling(address);
  }
}

export function variablesOf({ user, request, cluster, target, session }: RuleFacts): Variables {
  return {
    user: new User(user),
    request: new Request(request),
    ...(cluster && { cluster: new Cluster(cluster) }),
    ...(target && { target: new Target(target) }),
    session: new Session(session),
  };
}

/** Declares all variables but the cluster and the target. */
export function registerFacts(environment: Environment): Environment {
  const texts = 'list<string>';
  return registerMoment(environment)
    .registerType('User', { ctor: User, fields: { name: 'string', groups: texts, acr: 'string', amr: texts } })
    .registerType('Request', { ctor: Request, fields: { address: 'string', time: 'Time', user_agent: 'string' } })
    .registerType('Session', { ctor: Session, fields: { address: 'string' } })
    .registerVariable('user', 'User')
    .registerVariable('request', 'Request')
    .registerVariable('session', 'Session');
}

export function registerCluster(environment: Environment): Environment {
  return environment
    .registerType('Cluster', { ctor: Cluster, fields: { name: 'string', labels: 'map<string, string>' } })
    .registerVariable('cluster', 'Cluster');
}

export function registerTarget(environment: Environment): Environment {
  return environment
    .registerType('Target', { ctor: Target, fields: { name: 'string', kind: 'string', account: 'string' } })
    .registerVariable('target', 'Target');
}
