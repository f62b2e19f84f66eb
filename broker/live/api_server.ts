// What each API server makes of a token that the signing key signs, for nobody and nothing: whether it has read the keys, and whether
// it asks the webhook.

import { type Clock, seconds } from '../../shared/time.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { Keys, SigningKey } from '../tokens/keys.ts';
import { probeToken } from '../tokens/probe_token.ts';
import { type Answer, type Ask, isSilent } from './ask.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';
import { isOff } from './times.ts';

/** Seconds for which a probe is good. */
const PROBE = seconds(30);
/** What asks for more than discovery, so that it is asked about; nobody has any right to it. */
const QUESTION = '/api/v1/namespaces/default/pods?limit=1';

export interface ProbeParts {
  readonly config: Config;
  readonly ask: Ask;
  readonly now: Clock;
  /** Absent where the store is not read. */
  readonly signing?: SigningKey | undefined;
  /** Others that are published. */
  readonly others: readonly SigningKey[];
  /** Whether the broker is there: what is refused without it says nothing of the API server. */
  readonly broker: boolean;
  /** How often the broker was asked about tokens, where that can be seen. */
  readonly asked: () => Promise<number | undefined>;
}

export interface Probed {
  readonly seen: readonly Seen[];
  readonly answers: readonly (readonly [string, Answer])[];
}

export async function lookAtApiServers(cluster: Cluster, parts: ProbeParts): Promise<Probed> {
  const servers = cluster.api_servers ?? [cluster.server];
  const all = await Promise.all(servers.map((server) => lookAtOne(cluster, server.replace(/\/$/, ''), parts)));
  return { seen: all.flatMap(({ seen }) => seen), answers: all.flatMap(({ answers }) => answers) };
}

async function lookAtOne(cluster: Cluster, server: string, parts: ProbeParts): Promise<Probed> {
  const of = `${cluster.name} ${server}`;
  const { ask, config, now, signing } = parts;
  const first = await ask({ url: `${server}/version`, ca: cluster.ca });
  if (isSilent(first)) {
    const todo = first.certificate
      ? `let clusters[].ca_file of ${cluster.name} hold the authority that signed it`
      : 'see that it runs, and that clusters[].server leads to it';
    return { seen: [wrong('api_server', of, first.silent, todo)], answers: [] };
  }
  const answers = [[of, first]] as const;
  if (cluster.credential !== 'token')
    return { seen: [fine('api_server', of, 'answers; it takes its own tokens, not those of the broker')], answers };
  if (!signing)
    return {
      seen: [unknown('api_server', of, 'answers; not asked with a token: the store is not read', 'see the store')],
      answers,
    };
  const token = (key: SigningKey, audience = cluster.audience) =>
    probeToken(config, { ...cluster, audience }, key, now(), PROBE);
  if (cluster.webhook?.authentication && parts.broker)
    return { seen: [await byReview(cluster, of, server, token(signing), parts)], answers };
  const answer = await ask({ url: `${server}${QUESTION}`, ca: cluster.ca, bearer: token(signing) });
  if (isSilent(answer)) return { seen: [wrong('api_server', of, answer.silent, 'see that it runs')], answers };
  const blind = blindFor(first, parts);
  if (blind !== undefined && (answer.status === 401 || cluster.webhook))
    return {
      seen: [unknown('api_server', of, `answers; whether it takes tokens of the broker is not seen: ${blind}`, SEE)],
      answers,
    };
  if (answer.status !== 401) {
    const took = fine('api_server', of, 'takes a token of the broker: it has read the keys');
    return { seen: [took, ...asksWebhook(cluster, of, answer)], answers };
  }
  return { seen: [await whyRefused(cluster, of, server, token, parts)], answers };
}

const SEE = 'mend that first, and run this again';

/** What would be blamed on an API server that is as it should be. */
function blindFor(answer: Answer, { broker }: Pick<ProbeParts, 'broker'>): string | undefined {
  if (!broker) return 'the broker is not there';
  return isOff(answer) ? 'its clock, or that of this machine, is off' : undefined;
}

/** A denial by the broker says so, whatever RBAC would have said. */
function asksWebhook(cluster: Cluster, of: string, { status, text }: Answer): readonly Seen[] {
  if (!cluster.webhook) return [];
  if (text.includes('curfew: ')) return [fine('webhook', of, 'asks the broker before RBAC')];
  const todo = `compare its --authorization-config and the kubeconfig that it names with: curfew-broker print authz-config and print webhook-kubeconfig, --cluster ${cluster.name}; an address or a token there is wrong`;
  return [wrong('webhook', of, `does not reach the broker before it decides (HTTP ${status})`, todo)];
}

/** Which of the causes it is can be told by tokens that are wrong in one thing. */
async function whyRefused(
  cluster: Cluster,
  of: string,
  server: string,
  token: (key: SigningKey, audience?: string) => string,
  { ask, config, signing, others }: ProbeParts,
): Promise<Seen> {
  const takes = async (bearer: string) => {
    const answer = await ask({ url: `${server}/version`, ca: cluster.ca, bearer });
    return !isSilent(answer) && answer.status !== 401;
  };
  for (const key of others) {
    if (!(await takes(token(key)))) continue;
    const says = 'takes tokens of a key of before, and none of the key that signs: the keys that it has read are old';
    return wrong(
      'api_server',
      of,
      says,
      'it reads them again within a minute; if not, see that it still reaches /jwks of the issuer',
    );
  }
  const strangers = config.clusters.filter(({ audience }) => audience !== cluster.audience);
  for (const { name, audience } of strangers) {
    if (!signing || !(await takes(token(signing, audience)))) continue;
    const says = `takes tokens for ${name}, and none for ${cluster.name}: it was given the authentication configuration of the other`;
    return wrong('api_server', of, says, `give it: curfew-broker print authn-config --cluster ${cluster.name}`);
  }
  const todo = `compare its --authentication-config with: curfew-broker print authn-config --cluster ${cluster.name} (issuer, audience, certificate authority), and see from its machine that ${config.issuer}/.well-known/openid-configuration answers; its log says which (oidc authenticator)`;
  return wrong(
    'api_server',
    of,
    'takes no token of the broker: it does not reach or trust the issuer, or expects another audience',
    todo,
  );
}

/** It has no keys of ours: the broker judges each token, and knows whether it was asked. */
async function byReview(
  cluster: Cluster,
  of: string,
  server: string,
  bearer: string,
  { ask, asked }: ProbeParts,
): Promise<Seen> {
  const before = await asked();
  const answer = await ask({ url: `${server}/version`, ca: cluster.ca, bearer });
  const after = await asked();
  if (isSilent(answer)) return wrong('webhook', of, answer.silent, 'see that it runs');
  const todo = `compare its --authentication-token-webhook-config-file with: curfew-broker print webhook-kubeconfig --authentication --cluster ${cluster.name}`;
  if (before === undefined || after === undefined)
    return unknown(
      'webhook',
      of,
      'whether it asks the broker about tokens is only seen by the metrics of the broker',
      'set metrics, or look at its log',
    );
  return after > before
    ? fine('webhook', of, 'asks the broker about tokens')
    : wrong('webhook', of, 'does not ask the broker about tokens', todo);
}

/** Those that are published beside the one that signs. */
export function otherKeys(keys: Keys): readonly SigningKey[] {
  return keys.jwks.keys.flatMap(({ kid }) => keys.signer(kid) ?? []).filter(({ kid }) => kid !== keys.signing.kid);
}
