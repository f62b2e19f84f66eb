// The signals of an identity provider that mean something here: their names in settings, their event types, what each does by
// itself, and how a session ends by it. Names only; what stands in an event is read elsewhere.

import type { EndReason } from '../../shared/session.ts';

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type';
const RISC = 'https://schemas.openid.net/secevent/risc/event-type';

/** By the name in settings: the event types of CAEP 1.0 and RISC 1.0 that are heeded. */
const MEANING = {
  'session-revoked': { type: `${CAEP}/session-revoked`, end_reason: 'session_revoked', action: 'end' },
  'credential-change': { type: `${CAEP}/credential-change`, end_reason: 'credential_change', action: 'login' },
  'assurance-level-change': {
    type: `${CAEP}/assurance-level-change`,
    end_reason: 'assurance_level_change',
    action: 'login',
  },
  'device-compliance-change': {
    type: `${CAEP}/device-compliance-change`,
    end_reason: 'device_compliance_change',
    action: 'end',
  },
  'account-disabled': { type: `${RISC}/account-disabled`, end_reason: 'account_disabled', action: 'end' },
  'account-purged': { type: `${RISC}/account-purged`, end_reason: 'account_purged', action: 'end' },
} as const satisfies Record<string, { readonly type: string; readonly end_reason: EndReason; readonly action: Action }>;

export type Signal = keyof typeof MEANING;

/**
 * What a signal does to the sessions that it is about. `end`: they are over at once. `login`: they are over at their next
 * renewal, tokens that are out live until their own end. Either way the person has to authenticate anew. `ignore`: nothing.
 */
export const ACTIONS = ['end', 'login', 'ignore'] as const;
export type Action = (typeof ACTIONS)[number];
export type Actions = Readonly<Record<Signal, Action>>;

export const SIGNALS = Object.keys(MEANING) as readonly Signal[];

/** What each does where the policy says nothing of it. */
export function withDefaults(given: { readonly [S in Signal]?: Action | undefined } = {}): Actions {
  return Object.fromEntries(SIGNALS.map((signal) => [signal, given[signal] ?? MEANING[signal].action])) as Actions;
}

/** Of the stream itself (SSF 1.0 8.1.4, 8.1.5): about no session. */
export const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';
export const STREAM_UPDATED = 'https://schemas.openid.net/secevent/ssf/event-type/stream-updated';

export function endReasonOf(signal: Signal): EndReason {
  return MEANING[signal].end_reason;
}

export function eventTypeOf(signal: Signal): string {
  return MEANING[signal].type;
}

/** @returns `undefined` for one that means nothing here */
export function signalOfType(type: string): Signal | undefined {
  return SIGNALS.find((signal) => MEANING[signal].type === type);
}
