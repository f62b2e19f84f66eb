// A configuration for commands that need the policy of one, in a folder of its own.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const POLICY = `issuer: https://curfew.example.com
listen: { address: 127.0.0.1, port: 8443 }
keys: { encryption_key_file: key }
identity_provider:
  issuer: https://idp.example.com
  client_id: curfew
  scopes: [openid, email, groups]
  username_claim: email
  groups_claim: groups
  username_prefix: 'curfew:'
  groups_prefix: 'curfew:'
  allowed_groups: ['*']
clusters:
  - name: prod
    server: SERVER
    audience: prod
    allowed_groups: ['*']
    webhook: { token_file: webhook-token, on_failure: deny }
store: { sqlite: { file: curfew.db } }
policy:
  limits: { max_age: 8h, inactivity_timeout: 15m, token_ttl: 5m }
  segments:
    - name: payments
      match: { clusters: [prod], namespaces: ['pay*'] }
      limits: { max_age: 1h, inactivity_timeout: 5m }
`;

/** Cluster `prod` with segment `payments`: an hour and five minutes in namespaces `pay*`, eight hours and fifteen minutes elsewhere. */
export function writeBrokerConfig(file: string, server = 'https://10.0.0.1:6443'): void {
  const folder = path.dirname(file);
  writeFileSync(file, POLICY.replace('SERVER', server));
  for (const name of ['key', 'webhook-token'])
    writeFileSync(path.join(folder, name), randomBytes(32).toString('base64'), { mode: 0o600 });
}
