// Asks transmitters for their SETs (RFC 8936): a long poll each, one after the other. What was received is acknowledged with the
// next question, so not before it is durable; what is not acknowledged comes again.

import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { every, pauseAfter } from '../../serving/background.ts';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { tlsTo } from '../../serving/net/roots.ts';
import { answerOf, CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import type { Stopwatch } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import type { Transmitter } from '../config/settings.ts';
import type { SignalParts } from './act.ts';
import { createPollCredentials, type PollCredentials } from './poll_credentials.ts';
import { receiveSet } from './receive_set.ts';
import { errOf, type SetError } from './rfc8935.ts';

/** Milliseconds that a transmitter may hold a question open, and after which one that says nothing is asked again. */
const LONG_POLL_MS = 60_000;
const CONNECT_MS = 3_000;
/** Milliseconds: the longest pause after failures. */
const LONGEST_PAUSE_SECONDS = 30;
const LARGEST_BYTES = 4 * 1024 * 1024;
const AT_ONCE = 100;
/** Milliseconds: an empty answer within this was not held open, and after that the next question waits. */
const AT_LEAST_MS = 1_000;
const SHORT_POLL_MS = 5_000;
/** Milliseconds between two looks at the configuration. */
const EVERY_MS = 1_000;

/** What transmitters are polled with. */
export type PollingParts = SignalParts & Pick<Broker, 'turn'>;

/** @returns a function that stops it; what was not acknowledged comes again after the next restart */
export function startPolling(broker: PollingParts, stopwatch: Stopwatch): () => Promise<void> {
  const running = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();
  const look = () => {
    const wanted = new Map(
      broker.config.ssf.flatMap((one) =>
        one.poll ? [[JSON.stringify([one.issuer, one.poll, one.ca]), one] as const] : [],
      ),
    );
    for (const [key, { stop }] of running) {
      if (!wanted.has(key)) {
        stop.abort();
        running.delete(key);
      }
    }
    for (const [key, transmitter] of wanted) {
      if (running.has(key)) continue;
      const stop = new AbortController();
      running.set(key, { stop, done: pollOn(broker, stopwatch, transmitter, stop.signal) });
    }
  };
  const rounds = every(
    EVERY_MS,
    async () => look(),
    () => undefined,
  );
  look();
  return async () => {
    await rounds.stop();
    for (const { stop } of running.values()) stop.abort();
    await Promise.all([...running.values()].map(({ done }) => done));
  };
}

/** What the transmitter is told with the next question. */
interface Acknowledgements {
  ack: string[];
  setErrs: Record<string, SetError>;
}

async function pollOn(
  broker: PollingParts,
  stopwatch: Stopwatch,
  first: Transmitter,
  stopped: AbortSignal,
): Promise<void> {
  const { log, metrics } = broker;
  const { issuer } = first;
  const agent = agentFor(first);
  const credentials = createPollCredentials(agent, () => stopwatch() * 1_000);
  let failures = 0;
  const none = (): Acknowledgements => ({ ack: [], setErrs: Object.create(null) });
  let outcomes = none();
  while (!stopped.aborted) {
    // The settings of now: of whom it may speak can change while it is asked.
    const transmitter = broker.config.ssf.find((one) => one.issuer === issuer);
    if (!transmitter?.poll) break;
    // One replica at a time. What it has received and not acknowledged comes again, to whoever asks next, and acts once.
    if (!(await broker.turn.mine())) {
      outcomes = none();
      await sleep(EVERY_MS, undefined, { signal: stopped }).catch(() => undefined);
      continue;
    }
    try {
      const begin = stopwatch();
      const held = outcomes.ack.length === 0 && Object.keys(outcomes.setErrs).length === 0;
      const sets = await ask(transmitter, outcomes, agent, credentials, stopped);
      // Said and heard: what comes again after this is not answered with it.
      outcomes = none();
      failures = 0;
      const away = await receiveAll(broker, transmitter, sets, outcomes);
      if (away) throw away;
      // One that holds no question open is asked now and then.
      const idle = held && Object.keys(sets).length === 0 && (stopwatch() - begin) * 1_000 < AT_LEAST_MS;
      if (idle) await sleep(SHORT_POLL_MS, undefined, { signal: stopped });
    } catch (error) {
      if (stopped.aborted) break;
      failures += 1;
      metrics.pollFailed();
      const reason = error instanceof CurfewError ? error.message : 'unexpected error';
      log.warn({ transmitter: issuer, reason, failures }, 'security events could not be polled: trying again');
      await sleep(pauseAfter(failures - 1, LONGEST_PAUSE_SECONDS) * 1_000, undefined, { signal: stopped }).catch(
        () => undefined,
      );
    }
  }
  await agent.destroy();
}

/** @returns what kept some from being received: they come again */
async function receiveAll(
  broker: PollingParts,
  transmitter: Transmitter,
  sets: Readonly<Record<string, unknown>>,
  outcomes: Acknowledgements,
): Promise<CurfewError | undefined> {
  let away: CurfewError | undefined;
  for (const [jti, text] of Object.entries(sets)) {
    try {
      await receiveSet(broker, typeof text === 'string' ? text : '', { source: 'poll', transmitter });
      outcomes.ack.push(jti);
    } catch (error) {
      if (!(error instanceof CurfewError)) throw error;
      if (answerOf(error).status >= 500) {
        broker.metrics.signalPutOff('poll', error.code);
        away = error;
      } else {
        const refusal = { event: 'refusal', grant: 'poll', at: broker.now(), reason: error.code } as const;
        await broker.store.transaction((transaction) => transaction.audit(refusal));
        broker.log.error(
          { transmitter: transmitter.issuer, code: error.code, reason: error.message },
          'a security event was refused',
        );
        outcomes.setErrs[jti] = { err: errOf(error.code), description: error.message };
      }
    }
  }
  return away;
}

/** @throws CurfewError `identity_provider` */
async function ask(
  transmitter: Transmitter,
  { ack, setErrs }: Acknowledgements,
  dispatcher: Agent,
  credentials: PollCredentials,
  stopped: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const { issuer, poll } = transmitter;
  if (!poll) throw new TypeError('a transmitter that is not polled');
  const { host } = new URL(issuer);
  const fault = (what: string) => new CurfewError('identity_provider', `transmitter ${host} ${what}`);
  const token = await credentials.bearer(transmitter, stopped);
  const question = {
    maxEvents: AT_ONCE,
    // With something to say it is said at once.
    returnImmediately: ack.length > 0 || Object.keys(setErrs).length > 0,
    ...(ack.length > 0 && { ack }),
    ...(Object.keys(setErrs).length > 0 && { setErrs }),
  };
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json' };
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(LONG_POLL_MS)]);
  try {
    const response = await request(poll.url, {
      ...{ method: 'POST', headers, body: JSON.stringify(question), dispatcher, signal },
    });
    const text = await readBounded(response.body, LARGEST_BYTES);
    if (text === undefined) throw fault('answered a poll with more than 4 MiB');
    // It may have been taken back: one that was just got is not asked for again.
    if (response.statusCode === 401 && credentials.refused()) {
      return await ask(transmitter, { ack, setErrs }, dispatcher, credentials, stopped);
    }
    if (response.statusCode !== 200) throw fault(`answered HTTP ${response.statusCode} to a poll`);
    const answer = parseJson(text);
    if (!isObject(answer) || (answer.sets !== undefined && !isObject(answer.sets)))
      throw fault('answered a poll with something else');
    return isObject(answer.sets) ? answer.sets : {};
  } catch (error) {
    if (error instanceof CurfewError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
    throw fault(
      error instanceof Error && error.name === 'TimeoutError'
        ? 'did not answer a poll in time'
        : `cannot be reached (${code})`,
    );
  }
}

function agentFor({ ca }: Transmitter): Agent {
  const connect = { ...tlsTo(ca), timeout: CONNECT_MS };
  return new Agent({ connect, headersTimeout: LONG_POLL_MS, bodyTimeout: LONG_POLL_MS });
}
