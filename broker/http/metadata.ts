// What is public: OIDC discovery and JWKS for kube-apiserver, and what the plugin needs to know before a login.

import type { FastifyInstance } from 'fastify';
import type { Metadata, MetadataCluster } from '../../shared/metadata.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { GRANT } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import { clusterLimits, endWithin, entranceOf, revalidates, strictestLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
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
  const { issuer, identity_provider, clusters, policy } = config;
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
  };
}

function metadataOfCluster(config: Config, cluster: Cluster): MetadataCluster {
  const { server, ca } = entranceOf(cluster);
  return {
    name: cluster.name,
    audience: cluster.audience,
    server,
    ...(ca !== undefined && { certificate_authority_data: Buffer.from(ca).toString('base64') }),
    credential: cluster.credential,
    end_within: endWithin(config, cluster),
    limits: clusterLimits(config, cluster),
    strictest: strictestLimits(config, cluster).target,
  };
}
