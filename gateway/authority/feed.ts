// The feed of ends: read as it comes, and again from its last place where it breaks off. Each line is acted on before the next is read.

import type { IncomingMessage } from 'node:http';
import type { BaseLogger } from 'pino';
import { CurfewError } from '../../shared/errors.ts';
import { type FeedLine, GATEWAY_PATHS, parseFeedLine } from '../../shared/gateway_wire.ts';
import type { Broker } from './ask.ts';

/** Milliseconds without a line after which the broker counts as lost. */
export const SILENT_MS = 3_000;
/** Milliseconds between two looks at whether it is silent, and by how much later than that this process was suspended. */
const [LOOK_MS, LATE_MS] = [500, 1_000];
/** Milliseconds between two tries. */
const PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;
/** A line is far shorter: more without an end is no feed. */
const LONGEST_LINE = 64 * 1024;

export interface FeedParts {
  readonly broker: Pick<Broker, 'open'>;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  /** A feed that was asked for without a place speaks: ends from before it are not told. */
  readonly onBegin: () => void;
  /** Acts on a line. @param line `undefined` where what came is no line of the feed */
  readonly onLine: (line: FeedLine | undefined) => void;
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
}

export class Feed {
  readonly #parts: FeedParts;
  #place: string | undefined;
  #last_line_at: number;
  /** When the broker took the question. That is not a line yet, but a feed that was just opened is given as long as any to say one. */
  #opened_at: number;
  #looked_at: number;
  #stopped = false;
  #response: IncomingMessage | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  readonly #watch: NodeJS.Timeout;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#opened_at = parts.elapsed();
    this.#last_line_at = this.#opened_at - SILENT_MS;
    this.#looked_at = this.#opened_at;
    this.#watch = setInterval(() => this.#breakSilence(), LOOK_MS).unref();
    void this.#run();
  }

  /** Milliseconds since a line came. */
  get age(): number {
    return this.#parts.elapsed() - this.#last_line_at;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#response?.destroy();
  }

  /** A connection that stands still looks alive: another is tried. */
  #breakSilence(): void {
    const now = this.#parts.elapsed();
    const late = now - this.#looked_at > LOOK_MS + LATE_MS;
    this.#looked_at = now;
    // What came while this process was suspended is read first.
    if (!late && now - Math.max(this.#opened_at, this.#last_line_at) > SILENT_MS) this.#response?.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#read();
      } catch (error) {
        this.#failures += 1;
        const reason = error instanceof CurfewError ? error.message : 'it broke off';
        if (this.#failures === 1) this.#parts.log.warn({ reason }, 'the feed of ends is not read: trying again');
      }
      if (this.#stopped) return;
      const pause = Math.min(PAUSE_MS * 2 ** Math.min(this.#failures, 10), LONGEST_PAUSE_MS);
      await new Promise<void>((resolve) => {
        this.#timer = setTimeout(resolve, this.#failures === 0 ? 0 : pause / 2);
      });
    }
  }

  /** Until it breaks off. @throws CurfewError, Error */
  async #read(): Promise<void> {
    const after = this.#place === undefined ? '' : `?after=${encodeURIComponent(this.#place)}`;
    const response = await this.#parts.broker.open(GATEWAY_PATHS.ends + after);
    if (response.statusCode !== 200 || this.#stopped) {
      response.destroy();
      throw new CurfewError('broker_unreachable', `the broker answered ${response.statusCode} to a question for ends`);
    }
    this.#response = response;
    this.#opened_at = this.#parts.elapsed();
    let begins = after === '';
    let rest = '';
    for await (const chunk of response.setEncoding('utf8')) {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LONGEST_LINE) throw new CurfewError('broker_unreachable', 'what the broker sends is no feed');
      if (begins && lines.length > 0) this.#parts.onBegin();
      begins &&= lines.length === 0;
      for (const line of lines) this.#take(line);
    }
  }

  #take(text: string): void {
    const line = parseFeedLine(text);
    this.#last_line_at = this.#parts.elapsed();
    if (this.#failures > 0) {
      this.#parts.log.info('the feed of ends is read again');
      this.#failures = 0;
    }
    this.#parts.onLine(line);
    if (line?.place !== undefined) this.#place = line.place;
    else if (line === undefined) this.#response?.destroy();
  }
}
