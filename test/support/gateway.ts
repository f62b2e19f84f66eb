// Asks the broker as a gateway does, over real HTTP.

import { GATEWAY_PATHS, isLeaseReply, type Lease, type LeaseReply, type NoLease } from '../../shared/gateway_wire.ts';
import { post } from './review.ts';

/** Settings of clusters with a gateway each, as `startTestService` makes their tokens. */
export const GATEWAY_CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    gateway: { url: 'https://dev.example.com', token_file: 'dev-gateway' },
  },
  {
    ...{ name: 'prod-eu', server: 'https://127.0.0.1:2', audience: 'prod-eu', allowed_groups: ['sre'] },
    gateway: { url: 'https://prod.example.com', token_file: 'prod-eu-gateway' },
  },
];

export interface LeaseQuestion {
  readonly asks?: readonly object[];
  readonly uses?: readonly object[];
}

/** @throws unless it was answered */
export async function askLeases(
  url: string,
  token: string | undefined,
  { asks = [], uses = [] }: LeaseQuestion,
): Promise<LeaseReply> {
  const { status, body } = await post(url + GATEWAY_PATHS.sessions, token, { asks, uses });
  if (status !== 200 || !isLeaseReply(body)) throw new Error(`no leases: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** The one lease that was asked for. @throws where it was denied */
export function leaseIn({ sessions: [lease] }: LeaseReply): Lease {
  if (lease === undefined || lease.denied !== undefined) throw new Error(`no lease: ${JSON.stringify(lease)}`);
  return lease;
}

/** @throws where there is a lease */
export function denialIn({ sessions: [lease] }: LeaseReply): NoLease {
  if (lease?.denied === undefined) throw new Error(`not denied: ${JSON.stringify(lease)}`);
  return lease;
}
