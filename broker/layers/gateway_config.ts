// What a gateway starts with, as far as the broker knows it: the rest is whoever's who runs the gateway.

import { stringify } from 'yaml';
import { CurfewError } from '../../shared/errors.ts';
import { clusterNamed } from '../config/clusters.ts';
import type { Config } from '../config/settings.ts';

/**
 * @returns YAML for `curfew-gateway serve --config`. It names files that are to be beside it, and holds no secret
 * @throws CurfewError `usage` when there is no such cluster, `configuration` when it has no gateway
 */
export function printGatewayConfig(config: Config, clusterName: string): string {
  const { name, server, ca, gateway, credential } = clusterNamed(config, clusterName);
  if (!gateway) {
    throw new CurfewError('configuration', `the cluster ${name} has no gateway in ${config.file}`, {
      hint: 'give it gateway: {url: URL, token_file: FILE}',
    });
  }
  const keys_file = credential === 'service-account' ? 'service-account-keys.json' : undefined;
  return print(
    config,
    {
      before: `cluster ${name}`,
      url: gateway.url,
      token: "this cluster's gateway.token_file",
      files: [
        ...(ca === undefined ? [] : ["# api-server.crt: a copy of the broker's ca_file of this cluster"]),
        ...(keys_file === undefined
          ? []
          : [`# ${keys_file}: what kubectl get --raw /openid/v1/jwks prints of the cluster`]),
      ],
    },
    { cluster: name },
    {
      api_server: {
        url: server,
        ...(ca !== undefined && { ca_file: 'api-server.crt' }),
        ...(keys_file !== undefined && { service_account_keys_file: keys_file }),
      },
      other_credentials: 'refuse',
    },
  );
}

/** @throws CurfewError `configuration` when there are no targets */
export function printTargetGatewayConfig(config: Config): string {
  const { target_gateway } = config;
  if (!target_gateway) {
    throw new CurfewError('configuration', `there are no targets in ${config.file}`, {
      hint: 'set targets and target_gateway: {public_url: URL, token_file: FILE, source_addresses: [...]}',
    });
  }
  const { url } = target_gateway;
  const token = 'target_gateway.token_file';
  return print(config, { before: 'targets', url, token, files: [] }, { targets: true, public_url: url }, {});
}

interface Around {
  /** What it stands before. */
  readonly before: string;
  /** Where people reach it. */
  readonly url: string;
  /** The broker's setting. */
  readonly token: string;
  /** A line for each further file. */
  readonly files: readonly string[];
}

function print(config: Config, { before, url, token, files }: Around, what: object, behind: object): string {
  const { hostname, port } = new URL(url);
  const lines = [
    `# For curfew-gateway before ${before}. Printed by: curfew-broker print gateway-config`,
    '# Beside this file:',
    ...(config.issuer_ca === undefined ? [] : ["# broker.crt: a copy of the broker's issuer_ca_file"]),
    `# gateway-token: a copy of the file that the broker has as ${token}; mode 0600`,
    ...files,
    `# tls.crt, tls.key: a certificate for ${hostname}, and its key; mode 0600`,
  ];
  const object = {
    broker: {
      url: config.issuer,
      ...(config.issuer_ca !== undefined && { ca_file: 'broker.crt' }),
      token_file: 'gateway-token',
    },
    ...what,
    listen: {
      address: '0.0.0.0',
      port: port === '' ? 443 : Number(port),
      tls: { cert_file: 'tls.crt', key_file: 'tls.key' },
    },
    ...behind,
    on_lost_broker: { cut_after: '10s' },
    warn: '60s',
  };
  return `${lines.join('\n')}\n${stringify(object, { lineWidth: 0 })}`;
}
