// What is public: OIDC discovery and JWKS for kube-apiserver, and what the plugin needs to know before a login.

import type { FastifyInstance } from 'fastify';
import type { Metadata, MetadataCluster } from '../../shared/metadata.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { connectUrl, type MetadataTarget } from '../../shared/targets.ts';
import { GRANT } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import { clusterLimits, endWithin, entranceOf, revalidates, strictestLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import { accessLimits, strictestAccess } from '../config/targets.ts';
import { JWKS_MAX_AGE } from '../tokens/key_rotation.ts';

/** Short, so that kube-apiserver sees a new key soon; long enough that bad tokens do not make it fetch each time. */
const CACHED = `public, max-age=${JWKS_MAX_AGE}`;

export function metadataRoutes(app: FastifyInstance, broker: Pick<Broker, 'config' | 'keys'>): void {
  const discovery = discoveryOf(broker.config);
  app.get('/.well-known/openid-configuration', async (_request, reply) =>
    reply.header('Cache-Control', CACHED).send(discovery),
  );
  app.get('/jwks', async (_request, reply) => reply.header('Cache-Control', CACHED).send(broker.keys.jwks));
  app.get('/.well-known/curfew', async (_request, reply) =>
    reply.header('Cache-Control', 'no-cache').send(metadataOf(broker.config)),
  );
}

/** OpenID Connect Discovery 3, as far as a verifier of our tokens needs it; RFC 8414 2 for the rest. */
function discoveryOf({ issuer }: Config) {
  return {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    revocation_endpoint: `${issuer}/revoke`,
    introspection_endpoint: `${issuer}/introspect`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    grant_types_supported: [GRANT.exchange, GRANT.renewal],
    token_endpoint_auth_methods_supported: ['none'],
    dpop_signing_alg_values_supported: ['ES256'],
  };
}

function metadataOf(config: Config): Metadata {
  const { issuer, identity_provider, clusters, targets, policy } = config;
  const { client_id, client_secret, scopes, redirect_host, redirect_ports, device_grant } = identity_provider;
  const secret = client_secret === undefined ? {} : { client_secret };
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    revocation_endpoint: `${issuer}/revoke`,
    sessions_endpoint: `${issuer}/v1/sessions`,
    identity_provider: {
      issuer: identity_provider.issuer,
      client_id,
      ...secret,
      scopes,
      redirect_host,
      redirect_ports,
      device_grant,
    },
    limits: resolveLimits(policy, {}).session,
    revalidates: revalidates(policy),
    clusters: clusters.map((cluster) => metadataOfCluster(config, cluster)),
    targets: targets.map((target) => metadataOfTarget(config, target)),
  };
}

/** Nothing of where it is, nor of whose accounts there are: people are told what they may have with their tokens. */
function metadataOfTarget(config: Config, target: TargetSettings): MetadataTarget {
  const { name, kind, audience } = target;
  const { url = '', ca } = config.target_gateway ?? {};
  return {
    ...{ name, kind, audience, url: connectUrl(url, name) },
    ...(ca !== undefined && { certificate_authority_data: inBase64(ca) }),
    ...(target.kind === 'ssh' && { host_key: target.host_key }),
    ...(target.kind === 'postgres' && { databases: target.databases }),
    limits: accessLimits(config, target),
    strictest: strictestAccess(config, target).target,
  };
}

function metadataOfCluster(config: Config, cluster: Cluster): MetadataCluster {
  const { server, ca } = entranceOf(cluster);
  return {
    name: cluster.name,
    audience: cluster.audience,
    server,
    ...(ca !== undefined && { certificate_authority_data: inBase64(ca) }),
    credential: cluster.credential,
    end_within: endWithin(config, cluster),
    limits: clusterLimits(config, cluster),
    strictest: strictestLimits(config, cluster).target,
  };
}

function inBase64(pem: string): string {
  return Buffer.from(pem).toString('base64');
}
