// What `check` says of a cluster: whether the broker may do its work there, and whether a session can make itself something that outlives
// it. Asked with the broker's own token where it has one; else it says how to look by hand.

import { isDeepStrictEqual } from 'node:util';
import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import type { ClusterApi } from '../api_servers/api.ts';
import type { ClusterApis } from '../api_servers/apis.ts';
import type { Right } from '../api_servers/objects.ts';
import type { Cluster, ServiceAccountMapping } from '../config/settings.ts';
import { NO_CREDENTIALS, policiesOf } from '../layers/admission_policy.ts';
import { rightsOf } from '../layers/manifests.ts';
import { error, type Finding, note, ok, warning } from './finding.ts';
import { impersonators, strongerBeside } from './privileges.ts';

/** Of several, named in one line. */
const MOST_NAMED = 3;

/** @param apis asked about a cluster whose own tokens are used */
export async function checkApiServer(cluster: Cluster, apis: Pick<ClusterApis, 'of'>): Promise<Finding[]> {
  const { name, service_accounts } = cluster;
  if (!service_accounts) {
    const byHand = `kubectl get validatingadmissionpolicybinding ${NO_CREDENTIALS}; kubectl auth can-i impersonate serviceaccounts --as NAME --as-group GROUP`;
    return [
      note(
        `cluster ${name}: the broker has no token there to see whether sessions can make credentials that outlive them: look by hand: ${byHand}`,
      ),
    ];
  }
  try {
    const api = apis.of(cluster);
    return [
      ...(await checkRights(name, api, service_accounts)),
      ...(await checkBegetting(cluster, api, service_accounts)),
    ];
  } catch (fault) {
    if (!(fault instanceof CurfewError)) throw fault;
    return [error(fault.message, fault.code)];
  }
}

async function checkRights(
  name: string,
  api: ClusterApi,
  service_accounts: readonly ServiceAccountMapping[],
): Promise<Finding[]> {
  const missing: string[] = [];
  for (const right of rightsOf(service_accounts)) {
    if (!(await api.may(right))) missing.push(sayRight(right));
  }
  if (missing.length === 0) return [ok(`cluster ${name}: its API server lets the broker do its work`)];
  return [error(`cluster ${name}: the broker cannot: ${missing.join('; ')}: see curfew-broker print rbac`)];
}

async function checkBegetting(
  cluster: Cluster,
  api: ClusterApi,
  accounts: readonly ServiceAccountMapping[],
): Promise<Finding[]> {
  const { name } = cluster;
  try {
    const lacking = await missingPolicies(cluster, api);
    const bindings = await api.listBindings();
    const acting = impersonators(bindings, accounts);
    return [
      ...(lacking.length === 0
        ? [ok(`cluster ${name}: sessions cannot make credentials there that outlive them`)]
        : [
            warning(
              `cluster ${name}: ${lacking.join(', ')} missing or other than printed: sessions can make credentials that outlive them: see curfew-broker print admission-policy`,
            ),
          ]),
      ...(acting.length === 0
        ? []
        : [
            warning(
              `cluster ${name}: people may act as others (impersonate), also after their session, by ${some(acting)}`,
            ),
          ]),
      ...accounts.flatMap((account) => {
        const others = strongerBeside(bindings, account).map(({ namespace, name: other }) => `${namespace}/${other}`);
        if (others.length === 0) return [];
        const who = `${account.namespace}/${account.name}`;
        return [
          warning(
            `cluster ${name}: whoever acts as ${who} may start pods that run as ServiceAccounts which may do more, and outlive the session: ${some(others)}`,
          ),
        ];
      }),
    ];
  } catch (fault) {
    if (!(fault instanceof CurfewError) || fault.code !== 'service_account') throw fault;
    return [
      warning(
        `cluster ${name}: whether sessions can make credentials that outlive them cannot be seen: ${fault.message}: see curfew-broker print rbac`,
      ),
    ];
  }
}

/** Names of the policies that are not there as they are printed, or not bound. */
async function missingPolicies(cluster: Cluster, api: ClusterApi): Promise<readonly string[]> {
  const missing = new Set<string>();
  for (const { kind, metadata, spec } of policiesOf(cluster)) {
    const found = await api.findAdmission(kind, metadata.name);
    if (!isObject(found) || !holds(found.spec, spec)) missing.add(metadata.name);
  }
  return [...missing];
}

/** Whether all that is wanted is there, as it is; the API server adds what it takes for granted. */
function holds(found: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(found) && found.length === wanted.length && wanted.every((inner, i) => holds(found[i], inner));
  }
  if (!isObject(wanted)) return isDeepStrictEqual(found, wanted);
  return isObject(found) && Object.entries(wanted).every(([key, inner]) => holds(found[key], inner));
}

function some(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function sayRight({ verb, resource, subresource, name, namespace }: Right): string {
  const what = [resource, subresource].filter(Boolean).join('/');
  return `${verb} ${what}${name === undefined ? '' : ` of ${name}`} in ${namespace}`;
}
