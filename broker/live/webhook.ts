// The webhooks, asked as kube-apiserver asks them: at the issuer's address, with the cluster's token. About nobody: nothing is decided.

import type { Code } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { type Ask, isSilent } from './ask.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';

const REVIEWS = {
  authorize: {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user: 'curfew-check', nonResourceAttributes: { path: '/version', verb: 'get' } },
  },
  authenticate: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: 'curfew-check' } },
} as const;

type Place = Pick<Config, 'issuer' | 'issuer_ca'>;
type Asker = Pick<Cluster, 'name' | 'webhook'>;

export async function lookAtWebhooks(config: Place, cluster: Asker, ask: Ask): Promise<readonly Seen[]> {
  const { webhook } = cluster;
  if (!webhook) return [];
  const asked = webhook.authentication ? (['authorize', 'authenticate'] as const) : (['authorize'] as const);
  return Promise.all(
    asked.map((which) => askWebhook(config, cluster, which, webhook.token.export().toString('base64url'), ask)),
  );
}

async function askWebhook(
  { issuer, issuer_ca: ca }: Place,
  { name }: Pick<Asker, 'name'>,
  which: keyof typeof REVIEWS,
  bearer: string,
  ask: Ask,
): Promise<Seen> {
  const of = `${name} ${which}`;
  const body = REVIEWS[which];
  const answer = await ask({ url: `${issuer}/webhooks/${which}`, ca, method: 'POST', bearer, body });
  if (isSilent(answer)) return unknown('webhook', of, answer.silent, 'see the broker, above');
  const { status, json } = answer;
  if (status === 401 && json.reason === ('client_certificate' satisfies Code))
    return unknown(
      'webhook',
      of,
      'the broker knows the token, and asks for a client certificate, which only the API server has',
      'see that the kubeconfig of the webhook there names it: client-certificate and client-key',
    );
  if (status === 401)
    return wrong(
      'webhook',
      of,
      'the broker that runs does not know the token of this cluster',
      'let it read the configuration again, and give the API server the printed webhook-kubeconfig',
    );
  if (status !== 200 || json.kind !== body.kind || !isObject(json.status))
    return wrong(
      'webhook',
      of,
      `the broker answers HTTP ${status} to a ${body.kind}`,
      'see its log, and what is in front of it',
    );
  return fine('webhook', of, `the broker answers a ${body.kind}`);
}
