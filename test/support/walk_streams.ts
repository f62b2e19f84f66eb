// Streams through a gateway while faults come and go: watches of people whose sessions are active. Those of a session that ended are cut.

import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayBetween } from './gateway_between.ts';
import type { ClientStream, GatewayClient } from './gateway_client.ts';
import type { Fact, Facts } from './walk_facts.ts';

const WATCH = '/api/v1/namespaces/dev/pods?watch=1';
const MOST = 12;
const ANSWER_MS = 12_000;

interface Open {
  readonly fact: Fact;
  readonly stream: ClientStream;
  readonly client: GatewayClient;
}

export class WalkStreams {
  readonly counts = { opened: 0, cut: 0, lost: 0 };
  readonly #between: GatewayBetween;
  readonly #facts: Facts;
  #open: Open[] = [];
  #stopping = false;
  #life: Promise<void> = Promise.resolve();

  constructor(between: GatewayBetween, facts: Facts) {
    this.#between = between;
    this.#facts = facts;
  }

  start(): void {
    this.#life = this.#live();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#life;
    for (const { client } of this.#open) client.close();
  }

  /** @returns whose stream is open though the session ended: it is asked for after faults */
  left(): string | undefined {
    const left = this.#open.find(({ fact, stream }) => fact.ended === 'yes' && !stream.closed);
    return left && `${left.fact.sid}: a stream is open after the acknowledged end`;
  }

  async #live(): Promise<void> {
    while (!this.#stopping) {
      for (const { fact, client } of this.#open.filter(({ stream }) => stream.closed)) {
        this.counts[fact.ended === 'no' ? 'lost' : 'cut'] += 1;
        client.close();
      }
      this.#open = this.#open.filter(({ stream }) => !stream.closed);
      const fact = this.#facts.active.at(-1);
      if (fact && this.#open.length < MOST) await this.#watch(fact);
      await sleep(100);
    }
  }

  async #watch(fact: Fact): Promise<void> {
    const client = this.#between.client(fact.tokens.at(-1) ?? '');
    const late = sleep(ANSWER_MS, undefined, { ref: false });
    const stream = await Promise.race([client.watch(WATCH).catch(() => undefined), late]);
    if (stream?.status === 200) {
      this.counts.opened += 1;
      this.#open.push({ fact, stream, client });
    } else client.close();
  }
}
