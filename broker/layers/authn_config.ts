// The AuthenticationConfiguration that makes a kube-apiserver trust the broker, and check again by itself what it can.

import { stringify } from 'yaml';
import { formatDuration } from '../../shared/duration.ts';
import type { Seconds } from '../../shared/time.ts';
import { clusterLimits, clusterNamed } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { SESSION_ID_KEY, TOKEN_ID_KEY } from '../tokens/user_extra.ts';
import { type Capabilities, capabilitiesOf } from './kubernetes_version.ts';

/**
 * @param kubernetes the version of the API server, `1.33`; without it, what is current
 * @returns YAML of apiserver.config.k8s.io for one cluster
 * @throws CurfewError `usage` when there is no such cluster, or that version takes no such configuration
 */
export function printAuthnConfig(config: Config, clusterName: string, kubernetes?: string): string {
  const cluster = clusterNamed(config, clusterName);
  const head = `# For kube-apiserver --authentication-config, cluster ${cluster.name}. Printed by: curfew-broker print authn-config\n`;
  return head + stringify(authnConfig(config, cluster, capabilitiesOf(kubernetes)), { lineWidth: 0 });
}

function authnConfig(config: Config, cluster: Cluster, { config_version, credential_id }: Capabilities) {
  return {
    apiVersion: `apiserver.config.k8s.io/${config_version}`,
    kind: 'AuthenticationConfiguration',
    jwt: [
      {
        issuer: {
          url: config.issuer,
          audiences: [cluster.audience],
          ...(config.issuer_ca !== undefined && { certificateAuthority: config.issuer_ca }),
        },
        claimValidationRules: claimValidationRules(ceilingOf(config, cluster)),
        // prefixes are in the names already, added once, at mint
        claimMappings: {
          username: { claim: 'username', prefix: '' },
          groups: { claim: 'groups', prefix: '' },
          uid: { claim: 'sub' },
          extra: [
            { key: SESSION_ID_KEY, valueExpression: 'claims.sid' },
            ...(credential_id ? [] : [{ key: TOKEN_ID_KEY, valueExpression: 'claims.jti' }]),
          ],
        },
        userValidationRules,
      },
    ],
  };
}

interface Caps {
  readonly max_age: Seconds;
  readonly token_ttl: Seconds;
}

/** The ceiling where one is set, else what the policy gives this cluster today. */
export function ceilingOf(config: Pick<Config, 'policy'>, cluster: Cluster): Caps {
  const { target } = clusterLimits(config, cluster);
  return {
    max_age: cluster.ceiling?.max_age ?? target.max_age,
    token_ttl: cluster.ceiling?.token_ttl ?? target.token_ttl,
  };
}

/** A claim that is absent or of another type is an error in CEL, and refuses the token. There is no `now` in these rules. */
function claimValidationRules({ max_age, token_ttl }: Caps) {
  return [
    {
      expression: 'type(claims.sid) == string && claims.sid != ""',
      message: 'curfew: the token belongs to no session',
    },
    {
      expression: `int(claims.exp) - int(claims.iat) <= ${token_ttl}`,
      message: `curfew: the token is valid for longer than ${formatDuration(token_ttl)}`,
    },
    {
      expression: `int(claims.exp) - int(claims.auth_time) <= ${max_age}`,
      message: `curfew: the token ends more than ${formatDuration(max_age)} after the login`,
    },
    {
      expression: 'int(claims.auth_time) <= int(claims.iat)',
      message: 'curfew: the token is older than its login',
    },
  ];
}

/**
 * kube-apiserver takes any name from an issuer that it trusts, `system:masters` too. Nobody sees `\p{C}`, nor the ends of lines and
 * paragraphs (`\p{Zl}`, `\p{Zp}`).
 */
const userValidationRules = [
  {
    expression: String.raw`user.username.matches(r'^[^\p{C}\p{Zl}\p{Zp}]+$') && !user.username.matches(r'(?i)^\s*system:')`,
    message: 'curfew: the username is reserved or has invisible characters',
  },
  {
    expression: String.raw`user.groups.all(group, group.matches(r'^[^\p{C}\p{Zl}\p{Zp}]+$') && !group.matches(r'(?i)^\s*system:'))`,
    message: 'curfew: a group is reserved or has invisible characters',
  },
];
