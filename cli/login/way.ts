// How a person reaches the identity provider: what every way is asked for, and what it brings back.

import type { Seconds } from '../../shared/time.ts';
import type { Flow } from '../warm/settings.ts';
import type { Ask, Tokens } from '../wire/identity_provider.ts';

/** The time that a person has. */
export const LOGIN_DEADLINE_MS = 180_000;

export interface Brought extends Tokens {
  /** Tells the outcome where the person is looking, if that is not the terminal; the lines are sentences. */
  tell(status: number, title: string, lines: readonly string[]): Promise<void>;
}

export interface Way extends AsyncDisposable {
  /**
   * Has the person log in; a second time, where the first did not do.
   *
   * @param signal ends the wait, with its reason
   * @throws CurfewError `login_failed`, `identity_provider`, `busy`
   */
  bring(ask: Ask, signal: AbortSignal): Promise<Brought>;
  /** Whether the identity provider can be made to ask for a new login this way: asking again is of use then. */
  readonly can_ask_again: boolean;
  /** Where it cannot: the way that can, if the person can go it from here. It holds nothing that has to be given back. */
  readonly instead?: Way | undefined;
}

export interface Wish {
  /** Without a cluster the login is judged by the session's limits, and brings no token. */
  readonly cluster?: string | undefined;
  readonly max_age?: Seconds | undefined;
  readonly acr_values?: string | undefined;
  /** For all of the cluster's namespaces and resources, not only for what a token of it can be minted with. */
  readonly strictest?: boolean | undefined;
  /** The IdP's active single sign-on is not enough: the person has to authenticate now. */
  readonly in_person?: boolean | undefined;
  /** In place of the choice by settings and surroundings. */
  readonly flow?: Flow | undefined;
  readonly no_browser?: boolean | undefined;
  /** stdin carries what is not for us: nothing can be pasted. */
  readonly no_paste?: boolean | undefined;
}
