// Tokens for the gateway alone, exchanged for such that the API server takes (RFC 8693): each once, and again when what it got is over.

import { CurfewError } from '../../shared/errors.ts';
import { GATEWAY_PATHS, isSwapReply } from '../../shared/gateway_wire.ts';
import { plus, type Seconds } from '../../shared/time.ts';
import { GRANT, isRefusal, TOKEN_TYPE } from '../../shared/wire.ts';
import { forgetOldest } from '../forget_oldest.ts';
import type { Broker } from './ask.ts';
import type { BrokerClock } from './clock.ts';
import type { Keys } from './keys.ts';

const MOST_TOKENS = 10_000;

interface Swapped {
  readonly token: string;
  readonly exp: Seconds;
}

export interface SwapsParts {
  readonly broker: Pick<Broker, 'postForm'>;
  readonly keys: Pick<Keys, 'audience'>;
  readonly clock: BrokerClock;
}

export class Swaps {
  readonly #parts: SwapsParts;
  readonly #known = new Map<string, Swapped>();
  readonly #under_way = new Map<string, Promise<string | undefined>>();

  constructor(parts: SwapsParts) {
    this.#parts = parts;
  }

  /** What the API server takes for it, if that is known and good now. */
  known(token: string): string | undefined {
    const now = this.#parts.clock.now();
    const found = this.#known.get(token);
    return found && now !== undefined && now < found.exp ? found.token : undefined;
  }

  /** @returns `undefined` where the broker refuses @throws CurfewError `broker_unreachable` */
  async swap(token: string): Promise<string | undefined> {
    const known = this.known(token);
    if (known !== undefined) return known;
    const pending = this.#under_way.get(token) ?? this.#ask(token).finally(() => this.#under_way.delete(token));
    this.#under_way.set(token, pending);
    return pending;
  }

  /** None of them is used any more: their key was revoked, or may have been. */
  forget(): void {
    this.#known.clear();
  }

  async #ask(subject_token: string): Promise<string | undefined> {
    const { broker, keys, clock } = this.#parts;
    const { status, body } = await broker.postForm(GATEWAY_PATHS.token, {
      grant_type: GRANT.exchange,
      subject_token,
      subject_token_type: TOKEN_TYPE.jwt,
      audience: keys.audience ?? '',
    });
    const now = clock.now();
    if (status === 200 && isSwapReply(body) && now !== undefined) {
      this.#known.set(subject_token, { token: body.access_token, exp: plus(now, body.expires_in) });
      forgetOldest(this.#known, MOST_TOKENS);
      return body.access_token;
    }
    if (status >= 400 && status < 500 && isRefusal(body)) return undefined;
    throw new CurfewError('broker_unreachable', `the broker answered ${status} to an exchange of a token`);
  }
}
