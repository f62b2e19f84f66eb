// Transmitters of security events: whether their keys can be read, and whether what they send arrives. Where a transmitter takes the
// token that it is polled with, it is asked for an event that verifies the stream (SSF 1.0 8.1.4), and that is waited for.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { tlsTo, trustedRoots } from '../../serving/net/roots.ts';
import { sayDuration } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { between, type Clock, latest } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Transmitter } from '../config/settings.ts';
import { createFetchJson } from '../net/fetch_json.ts';
import { createPollCredentials } from '../signals/poll_credentials.ts';
import { isAsSafe } from '../upstream/discovery.ts';
import { fetchKeySet } from '../upstream/key_set.ts';
import { fetchMetadata, metadataUrls, TRANSMITTER } from '../upstream/transmitters.ts';
import { type Ask, isSilent } from './ask.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';
import type { OpenStore } from './store.ts';

export interface SignalLook {
  readonly ask: Ask;
  readonly now: Clock;
  readonly signals: OpenStore['signals'];
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  /** Milliseconds that an event that was asked for may take. */
  readonly patience_ms?: number;
}

const WAIT_MS = 5_000;
const PATIENCE_MS = 20_000;
const EVERY_MS = 250;

export async function lookAtTransmitter(transmitter: Transmitter, look: SignalLook): Promise<Seen> {
  const { issuer, ca, jwks_uri } = transmitter;
  const fetchJson = createFetchJson(ca, undefined, TRANSMITTER);
  try {
    const wait = () => AbortSignal.timeout(WAIT_MS);
    const metadata = await fetchMetadata(issuer, metadataUrls(issuer), fetchJson, wait()).catch((error: unknown) => {
      // With keys of its own setting it needs none.
      if (jwks_uri === undefined || !(error instanceof CurfewError)) throw error;
      return {} as Readonly<Record<string, unknown>>;
    });
    const keys = jwks_uri ?? metadata.jwks_uri;
    if (typeof keys !== 'string' || !isAsSafe(keys, issuer))
      return wrong('signals', issuer, 'says nowhere where its keys are', 'set ssf[].jwks_uri');
    await fetchKeySet(keys, fetchJson, wait(), TRANSMITTER.name);
    return await verify(transmitter, metadata, look);
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return wrong('signals', issuer, error.message, error.hint);
  } finally {
    await fetchJson.close();
  }
}

async function verify(
  transmitter: Transmitter,
  metadata: Readonly<Record<string, unknown>>,
  look: SignalLook,
): Promise<Seen> {
  const { issuer, poll } = transmitter;
  const { verification_endpoint: endpoint, configuration_endpoint: streams } = metadata;
  const safe = (url: unknown): url is string => typeof url === 'string' && isAsSafe(url, issuer);
  if (!poll)
    return byWhatCame(transmitter, look, 'it pushes, and the broker has nothing by which to ask it for a test');
  if (!safe(endpoint) || !safe(streams)) return byWhatCame(transmitter, look, 'it has no verification_endpoint');
  const agent = new Agent({ connect: tlsTo(transmitter.ca) });
  try {
    const bearer = await createPollCredentials(agent, look.elapsed).bearer(transmitter, AbortSignal.timeout(WAIT_MS));
    const list = await look.ask({ url: streams, ca: trusted(transmitter), bearer });
    if (isSilent(list)) return wrong('signals', issuer, list.silent, 'see that it runs');
    if (list.status === 401 || list.status === 403)
      return wrong(
        'signals',
        issuer,
        `does not take the credential that it is polled with (HTTP ${list.status})`,
        'see ssf[].poll: its token, or client_id and client_secret_file',
      );
    const stream_id = streamOf(list.text, transmitter.audience);
    if (stream_id === undefined) {
      const says = `has no stream for the audience ${transmitter.audience}`;
      return wrong('signals', issuer, says, 'set up the stream there for ssf[].audience');
    }
    const before = (await look.signals(issuer))?.verifications ?? [];
    const state = randomBytes(16).toString('base64url');
    const answer = await look.ask({
      url: endpoint,
      ca: trusted(transmitter),
      method: 'POST',
      bearer,
      body: { stream_id, state },
    });
    if (isSilent(answer)) return wrong('signals', issuer, answer.silent, 'see that it runs');
    if (answer.status >= 300)
      return wrong(
        'signals',
        issuer,
        `refuses to verify the stream (HTTP ${answer.status})`,
        'see the stream there, and whose it is',
      );
    return await untilItCame(transmitter, look, before);
  } finally {
    await agent.destroy();
  }
}

async function untilItCame({ issuer }: Transmitter, look: SignalLook, before: readonly string[]): Promise<Seen> {
  const end = look.elapsed() + (look.patience_ms ?? PATIENCE_MS);
  for (;;) {
    const came = await look.signals(issuer);
    if (!came)
      return unknown('signals', issuer, 'an event was asked for; whether it arrived is in the store', 'see the store');
    if (came.verifications.some((jti) => !before.includes(jti)))
      return fine('signals', issuer, 'an event that was asked for arrived');
    if (look.elapsed() >= end)
      return wrong(
        'signals',
        issuer,
        'took the question for an event, which did not arrive',
        'see that a broker runs and polls it, or what keeps its pushes from ISSUER/ssf/events',
      );
    await sleep(EVERY_MS);
  }
}

/** What nobody can ask for: when the last one came. */
async function byWhatCame({ issuer }: Transmitter, { signals, now }: SignalLook, why: string): Promise<Seen> {
  const newest = (await signals(issuer))?.newest;
  const todo = 'have it send a verification event, and look for it: curfew-broker audit tail';
  if (newest === undefined) return unknown('signals', issuer, `its keys are read; none has come yet, and ${why}`, todo);
  const ago = sayDuration(between(newest, latest(newest, now())));
  return unknown('signals', issuer, `its keys are read; the last one came ${ago} ago, and ${why}`, todo);
}

/** Of one, or of a list of them (SSF 1.0 8.1.1.2). */
function streamOf(text: string, audience: string): string | undefined {
  const value = parseJson(text);
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  const own = all.find((one) => isObject(one) && [one.aud].flat().includes(audience));
  return isObject(own) && typeof own.stream_id === 'string' ? own.stream_id : undefined;
}

function trusted({ ca }: Transmitter): readonly string[] | undefined {
  return ca === undefined ? undefined : trustedRoots(ca);
}
