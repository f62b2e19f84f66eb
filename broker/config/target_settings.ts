// What is reached through the gateway of targets, as the configuration has it.

import type { KeyObject } from 'node:crypto';
import type { DatabaseAddress } from './database_address.ts';

/** The gateway that all targets are behind; its replicas share this. */
export interface TargetGateway {
  /** Where people reach it: `wss://HOST[:PORT]`, without a slash at its end. */
  readonly url: string;
  /** PEM. Absent where the system's roots know it. */
  readonly ca?: string | undefined;
  /** The gateway presents it. */
  readonly token: KeyObject;
  /** Addresses and CIDR blocks from which it reaches targets. */
  readonly source_addresses: readonly string[];
}

export type TargetSettings = SshTarget | PostgresTarget | TcpTarget;

interface CommonTarget {
  readonly name: string;
  readonly audience: string;
  /** As the gateway reaches it. */
  readonly address: TargetAddress;
  /** Names as the IdP gives them; `*` is everyone. */
  readonly allowed_groups: readonly string[];
}

export interface TargetAddress {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface SshTarget extends CommonTarget {
  readonly kind: 'ssh';
  /** As in `known_hosts`: `ssh-ed25519 AAAA...`. */
  readonly host_key: string;
  readonly accounts: readonly AccountMapping[];
  /** What its certificates allow. */
  readonly permit: readonly SshPermit[];
}

export interface PostgresTarget extends CommonTarget {
  readonly kind: 'postgres';
  /** As whom the broker makes roles there. */
  readonly admin: DatabaseAddress;
  /** PEM, beside the system's roots. */
  readonly ca?: string | undefined;
  readonly databases: readonly string[];
  readonly accounts: readonly AccountMapping[];
}

/** Only the way: what people present there is their own. */
export interface TcpTarget extends CommonTarget {
  readonly kind: 'tcp';
}

/** Whose account it can be: the first that fits is taken where none is asked for. */
export interface AccountMapping {
  readonly account: string;
  /** Names as the IdP gives them; `*` is everyone. */
  readonly groups: readonly string[];
}

/** Extensions of certificates, without `permit-`. */
export const SSH_PERMITS = ['pty', 'port-forwarding', 'agent-forwarding', 'x11-forwarding', 'user-rc'] as const;
export type SshPermit = (typeof SSH_PERMITS)[number];
