// Asks the broker as a gateway does, over real HTTP.

import { isEventsReply } from '../../shared/gateway_events.ts';
import {
  type FeedLine,
  GATEWAY_PATHS,
  isLeaseReply,
  type Lease,
  type LeasedLimits,
  type LeaseReply,
  type NoLease,
  parseFeedLine,
} from '../../shared/gateway_wire.ts';
import { until } from './patience.ts';
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

type Granted = Omit<Lease, 'limits'> & { readonly limits: readonly LeasedLimits[] };

/** The one lease that was asked for. @throws where it was denied */
export function leaseIn({ sessions: [lease] }: LeaseReply): Granted {
  if (lease === undefined || lease.denied !== undefined) throw new Error(`no lease: ${JSON.stringify(lease)}`);
  const limits = lease.limits.flatMap((each) => (each.denied === undefined ? each : []));
  if (limits.length < lease.limits.length) throw new Error(`limits are denied: ${JSON.stringify(lease)}`);
  return { ...lease, limits };
}

/** @throws where there is a lease */
export function denialIn({ sessions: [lease] }: LeaseReply): NoLease {
  if (lease?.denied === undefined) throw new Error(`not denied: ${JSON.stringify(lease)}`);
  return lease;
}

/** The feed of ends, as it is told to one gateway. */
export interface Feed {
  /** All but empty lines. */
  readonly lines: readonly FeedLine[];
  /** How many empty lines came. */
  readonly beats: number;
  /** What is to be handed back. */
  readonly place: string;
  /** Whether the broker ended it. */
  readonly ended: boolean;
  /** The lines of a type. */
  of<T extends FeedLine['type']>(type: T): readonly Extract<FeedLine, { readonly type: T }>[];
  close(): Promise<void>;
}

/** @throws unless it is answered with a feed, whose first line came */
export async function openFeed(url: string, token: string | undefined, after?: string): Promise<Feed> {
  const question = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
  const controller = new AbortController();
  const { signal } = controller;
  const response = await fetch(url + GATEWAY_PATHS.ends + question, {
    ...{ headers: { authorization: `Bearer ${token}` }, signal },
  });
  if (response.status !== 200 || !response.body)
    throw new Error(`no feed: ${response.status} ${await response.text()}`);
  const { body } = response;
  const state = { lines: [] as FeedLine[], beats: 0, place: '', ended: false };
  const take = (text: string) => {
    const line = parseFeedLine(text);
    if (!line) throw new Error(`not a line of the feed: ${text}`);
    if (text === '') state.beats += 1;
    else state.lines.push(line);
    if (line.place !== undefined) state.place = line.place;
  };
  const reading = (async () => {
    let rest = '';
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) take(part);
    }
  })()
    .catch((error: unknown) => {
      if (!signal.aborted && !(error instanceof TypeError)) throw error;
    })
    .finally(() => {
      state.ended = true;
    });
  const feed: Feed = {
    get lines() {
      return state.lines;
    },
    get beats() {
      return state.beats;
    },
    get place() {
      return state.place;
    },
    get ended() {
      return state.ended;
    },
    of: (type) => state.lines.filter((line) => line.type === type) as never,
    async close() {
      controller.abort();
      await reading;
    },
  };
  await until(() => state.place !== '' || state.ended, 'the feed does not begin');
  return feed;
}

/** @returns up to where they are acknowledged @throws unless they were taken */
export async function tellEvents(url: string, token: string | undefined, report: object): Promise<number> {
  const { status, body } = await post(url + GATEWAY_PATHS.events, token, report);
  if (status !== 200 || !isEventsReply(body)) throw new Error(`not taken: ${status} ${JSON.stringify(body)}`);
  return body.acknowledged;
}
