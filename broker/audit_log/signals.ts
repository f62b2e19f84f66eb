// The signals of an identity provider that mean something here: their names in settings, their event types, what each does by
// itself, and how a session ends by it. Names only; what stands in an event is read elsewhere.

import type { EndReason } from '../../shared/session.ts';

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type';
const RISC = 'https://schemas.openid.net/secevent/risc/event-type';
const OAUTH = 'https://schemas.openid.net/secevent/oauth/event-type';

interface Meaning {
  readonly type: string;
  readonly end_reason: EndReason;
  /** What it does where the policy says nothing of it. */
  readonly action: Action;
}

/** By the name in settings: the event types of CAEP 1.0 and RISC 1.0, and of Google beside them, that are heeded. */
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
  'risk-level-change': { type: `${CAEP}/risk-level-change`, end_reason: 'risk_level_change', action: 'login' },
  'token-claims-change': { type: `${CAEP}/token-claims-change`, end_reason: 'token_claims_change', action: 'ignore' },
  'account-disabled': { type: `${RISC}/account-disabled`, end_reason: 'account_disabled', action: 'end' },
  'account-purged': { type: `${RISC}/account-purged`, end_reason: 'account_purged', action: 'end' },
  'account-credential-change-required': {
    type: `${RISC}/account-credential-change-required`,
    end_reason: 'account_credential_change_required',
    action: 'login',
  },
  'credential-compromise': {
    type: `${RISC}/credential-compromise`,
    end_reason: 'credential_compromise',
    action: 'end',
  },
  'identifier-changed': { type: `${RISC}/identifier-changed`, end_reason: 'identifier_changed', action: 'ignore' },
  'identifier-recycled': { type: `${RISC}/identifier-recycled`, end_reason: 'identifier_recycled', action: 'end' },
  'recovery-activated': { type: `${RISC}/recovery-activated`, end_reason: 'recovery_activated', action: 'ignore' },
  'recovery-information-changed': {
    type: `${RISC}/recovery-information-changed`,
    end_reason: 'recovery_information_changed',
    action: 'ignore',
  },
  'sessions-revoked': { type: `${RISC}/sessions-revoked`, end_reason: 'sessions_revoked', action: 'end' },
  'tokens-revoked': { type: `${OAUTH}/tokens-revoked`, end_reason: 'tokens_revoked', action: 'end' },
} as const satisfies Record<string, Meaning>;

export type Signal = keyof typeof MEANING;

/**
 * What a signal does to the sessions that it is about. `end`: they are over at once. `login`: they are over at their next
 * renewal, tokens that are out live until their own end. Either way the person has to authenticate again. `ignore`: nothing.
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

/** Known, and of no consequence for a session, whatever the policy says: a person is as safe after it as before. */
const INERT: Readonly<Record<string, string>> = {
  [VERIFICATION]: 'verification',
  [STREAM_UPDATED]: 'stream-updated',
  [`${CAEP}/session-established`]: 'session-established',
  [`${CAEP}/session-presented`]: 'session-presented',
  [`${RISC}/account-enabled`]: 'account-enabled',
  [`${RISC}/opt-in`]: 'opt-in',
  [`${RISC}/opt-out-initiated`]: 'opt-out-initiated',
  [`${RISC}/opt-out-cancelled`]: 'opt-out-cancelled',
  [`${RISC}/opt-out-effective`]: 'opt-out-effective',
  [`${OAUTH}/token-revoked`]: 'token-revoked',
};

/** The names of those that do nothing. */
export const INERT_SIGNALS: readonly string[] = Object.values(INERT);

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

/** Whether a type is one of the table, heeded or not. */
export function isKnownType(type: string): boolean {
  return Object.hasOwn(INERT, type) || signalOfType(type) !== undefined;
}

/** Of a type, for metrics: words of this table and no others. */
export function nameOfType(type: string): string {
  if (Object.hasOwn(INERT, type)) return INERT[type] ?? 'other';
  return type === LOGOUT_EVENT ? 'logout' : (signalOfType(type) ?? 'other');
}

/** The member of `events` that makes it one. */
export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
