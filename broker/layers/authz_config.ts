// What makes a kube-apiserver ask the broker before RBAC: an AuthorizationConfiguration, and the kubeconfig with which its
// webhooks reach us.

import { stringify } from 'yaml';
import { CurfewError } from '../../shared/errors.ts';
import { clusterNamed } from '../config/clusters.ts';
import type { Cluster, Config, Webhook } from '../config/settings.ts';
import { SESSION_ID_KEY } from '../tokens/user_extra.ts';
import { type Capabilities, capabilitiesOf } from './kubernetes_version.ts';

/** Where the API server's machine keeps the printed kubeconfig, unless it is said otherwise. */
export const KUBECONFIG_PATH = '/etc/kubernetes/curfew-webhook.kubeconfig';

/** Where it keeps its certificate, where one is wanted, and the key. */
export const CERTIFICATE_PATHS = {
  certificate: '/etc/kubernetes/curfew-webhook.crt',
  key: '/etc/kubernetes/curfew-webhook.key',
};

/**
 * @param kubeconfig path of the printed kubeconfig on the API server's machine
 * @param kubernetes the version of the API server, `1.33`; without it, what is current
 * @returns YAML of apiserver.config.k8s.io
 * @throws CurfewError `usage` when there is no such cluster, or that version takes no such configuration; `configuration`
 *   when the cluster has no webhook
 */
export function printAuthzConfig(config: Config, clusterName: string, kubeconfig: string, kubernetes?: string): string {
  const capabilities = capabilitiesOf(kubernetes);
  const { cluster, webhook } = withWebhook(config, clusterName);
  const head = `# For kube-apiserver --authorization-config, cluster ${cluster.name}. Printed by: curfew-broker print authz-config\n`;
  const authorizers = [
    { type: 'Webhook', name: 'curfew', webhook: settingsOf(webhook, kubeconfig, capabilities) },
    { type: 'Node', name: 'node' },
    { type: 'RBAC', name: 'rbac' },
  ];
  const apiVersion = `apiserver.config.k8s.io/${capabilities.config_version}`;
  const object = { apiVersion, kind: 'AuthorizationConfiguration', authorizers };
  return head + stringify(object, { lineWidth: 0 });
}

/** Nothing is cached: an end takes effect with the next request. Only requests of our sessions are asked about. */
function settingsOf({ on_failure }: Webhook, kubeConfigFile: string, { cache_switch }: Capabilities) {
  // Both lengths are required. Where caching cannot be switched off, what is kept for a nanosecond is never found again.
  const ttl = cache_switch ? '1s' : '1ns';
  return {
    timeout: '3s',
    subjectAccessReviewVersion: 'v1',
    matchConditionSubjectAccessReviewVersion: 'v1',
    ...(cache_switch && { cacheAuthorizedRequests: false, cacheUnauthorizedRequests: false }),
    authorizedTTL: ttl,
    unauthorizedTTL: ttl,
    failurePolicy: on_failure === 'deny' ? 'Deny' : 'NoOpinion',
    connectionInfo: { type: 'KubeConfigFile', kubeConfigFile },
    matchConditions: [{ expression: `has(request.extra) && '${SESSION_ID_KEY}' in request.extra` }],
  };
}

/**
 * @param asks what the API server asks: for `--authorization-config`, or for `--authentication-token-webhook-config-file`
 * @param token_file where the API server's machine keeps the webhook's token; without it the token is in the kubeconfig itself
 * @param paths of certificate and key there, where the cluster must present one
 * @returns YAML of a kubeconfig; without `token_file` it is a secret
 * @throws CurfewError `usage` when there is no such cluster, `configuration` when it has no such webhook
 */
export function printWebhookKubeconfig(
  config: Config,
  clusterName: string,
  asks: 'authorization' | 'authentication',
  token_file?: string,
  paths: { readonly certificate: string; readonly key: string } = CERTIFICATE_PATHS,
): string {
  const { cluster, webhook } = withWebhook(config, clusterName);
  if (asks === 'authentication' && !webhook.authentication) {
    throw new CurfewError('configuration', `the webhook of cluster ${cluster.name} does not have authentication: true`);
  }
  const server = `${config.issuer}/webhooks/${asks === 'authorization' ? 'authorize' : 'authenticate'}`;
  const ca = config.issuer_ca === undefined ? {} : { 'certificate-authority-data': base64(config.issuer_ca) };
  const bearer =
    token_file === undefined ? { token: webhook.token.export().toString('base64url') } : { tokenFile: token_file };
  const certificate = { 'client-certificate': paths.certificate, 'client-key': paths.key };
  const user = { ...bearer, ...(webhook.client_certificate && certificate) };
  const secrecy = token_file === undefined ? 'keep it secret' : `in ${token_file} is the webhook's token in base64url`;
  const head = `# For kube-apiserver of cluster ${cluster.name}: ${secrecy}. Printed by: curfew-broker print webhook-kubeconfig\n`;
  const object = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'curfew-broker', cluster: { server, ...ca } }],
    users: [{ name: cluster.name, user }],
    contexts: [{ name: 'webhook', context: { cluster: 'curfew-broker', user: cluster.name } }],
    'current-context': 'webhook',
  };
  return head + stringify(object, { lineWidth: 0 });
}

function withWebhook(config: Config, clusterName: string): { cluster: Cluster; webhook: Webhook } {
  const cluster = clusterNamed(config, clusterName);
  if (cluster.webhook) return { cluster, webhook: cluster.webhook };
  throw new CurfewError('configuration', `the cluster ${cluster.name} has no webhook in ${config.file}`, {
    hint: 'give it webhook: {token_file: FILE, on_failure: deny}',
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
