// What people are told: Status objects as kube-apiserver's clients read them, and one line of words for each reason.

import type { Denied } from '../shared/decide.ts';
import { sayDuration } from '../shared/duration.ts';
import type { Code } from '../shared/errors.ts';
import { sayDenial } from '../shared/messages.ts';
import type { Seconds } from '../shared/time.ts';

/** Reasons of a Status (meta/v1) that are used here. `NonZeroExitCode` must never be: kubectl takes it for the command's own end. */
type StatusReason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'TooManyRequests'
  | 'RequestEntityTooLarge'
  | 'InternalError'
  | 'ServiceUnavailable';

/** Why a request does not pass, or a stream is cut. */
export interface Refusal {
  /** HTTP status. */
  readonly status: 400 | 401 | 403 | 404 | 413 | 429 | 502 | 503;
  /** For metrics and the audit log: an `EndReason`, a `Code`, or a word of ours. */
  readonly code: string;
  /** For the person: one line. */
  readonly message: string;
  /** Seconds. */
  readonly retry_after?: number | undefined;
}

/** RFC 9110 15: anything larger is not a status. */
export const LARGEST_STATUS = 599;

const REASONS: Readonly<Record<Refusal['status'], StatusReason>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  502: 'InternalError',
  503: 'ServiceUnavailable',
};

/** meta/v1 Status, as kubectl prints it. */
export function statusOf({ status, message, retry_after }: Refusal): object {
  const details = retry_after === undefined ? {} : { details: { retryAfterSeconds: retry_after } };
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: REASONS[status],
    ...details,
    code: status,
  };
}

export function badRequest(message: string): Refusal {
  return { status: 400, code: 'request_invalid', message: `curfew: ${message}` };
}

export const UNAUTHORIZED: Refusal = {
  status: 401,
  code: 'token_invalid',
  message: 'curfew: not a token that is good here; run: kubectl curfew login',
};

/** @param message of why a proof (RFC 9449) does not go with its request */
export function badProof(message: string): Refusal {
  return { status: 401, code: 'proof_invalid', message: `curfew: ${message}` };
}

export const NO_SUCH_TARGET: Refusal = {
  status: 404,
  code: 'no_such_target',
  message: 'curfew: nothing but /v1/connect/TARGET is here',
};

export const TOO_MANY_CONNECTIONS: Refusal = {
  status: 429,
  code: 'too_many_connections',
  message: 'curfew: too many connections are being made at once; try again',
  retry_after: 1,
};

export const TARGET_AWAY: Refusal = {
  status: 502,
  code: 'target_unreachable',
  message: 'curfew: the target cannot be reached from the gateway',
};

export const TARGET_LOST: Refusal = {
  status: 502,
  code: 'target_lost',
  message: 'curfew: the target broke the connection off',
};

export const FORBIDDEN_FRAME: Refusal = {
  status: 400,
  code: 'request_invalid',
  message: 'curfew: a frame that is not taken here',
};

export const OTHER_CREDENTIALS: Refusal = {
  status: 401,
  code: 'other_credentials',
  message: 'curfew: this gateway takes tokens of curfew sessions alone; run: kubectl curfew login',
};

export const LOST_BROKER: Refusal = {
  status: 503,
  code: 'lost_broker',
  message: 'curfew: the gateway does not reach the broker, so nothing passes; try again',
  retry_after: 1,
};

export const API_SERVER_AWAY: Refusal = {
  status: 502,
  code: 'api_server',
  message: 'curfew: the API server cannot be reached',
};

export const API_SERVER_CLOSING: Refusal = {
  status: 503,
  code: 'api_server',
  message: 'curfew: the API server was closing the connection; try again',
  retry_after: 1,
};

export const STOPPING: Refusal = {
  status: 503,
  code: 'stopping',
  message: 'curfew: this gateway is stopping; try again',
  retry_after: 1,
};

export const BUSY: Refusal = {
  status: 503,
  code: 'busy',
  message: 'curfew: this gateway is asked more than it can answer; try again',
  retry_after: 1,
};

export const KEY_REVOKED: Refusal = {
  status: 401,
  code: 'key_revoked',
  message: 'curfew: the key of this token was revoked; run: kubectl curfew login',
};

/** @param cluster where it alone is denied: whose login helps; absent before targets */
export function denialOf(denied: Denied, cluster: string | undefined, segment: string | undefined): Refusal {
  const only = denied.ends === undefined && denied.reason !== 'session_ended';
  const where = only && segment !== undefined ? ` (segment ${segment})` : '';
  const login = `run: kubectl curfew login${only && cluster !== undefined ? ` --cluster ${cluster}` : ''}`;
  const code = denied.reason === 'session_ended' ? (denied.end_reason ?? denied.reason) : denied.reason;
  return { status: 401, code, message: `curfew: ${sayDenial(denied)}${where}; ${login}` };
}

/** Where a connection alone is idle, whatever else its session does. */
export function idleAlone({ reason, limit }: Denied): Refusal {
  const length = limit === undefined ? 'too long' : sayDuration(limit);
  return {
    status: 401,
    code: reason,
    message: `curfew: nothing was sent on this connection for ${length}; connect again`,
  };
}

/** @param message of the broker, for the person */
export function noLease(code: Code, message: string): Refusal {
  return { status: 401, code, message: `curfew: ${message}` };
}

export const ANOTHER_USER: Refusal = {
  status: 401,
  code: 'another_user',
  message: 'curfew: the session belongs to another user; run: kubectl curfew login',
};

/** One line before a cut. @param left whole seconds */
export function sayWarning(left: Seconds): string {
  return `curfew: this session ends in ${sayDuration(left)}; to continue, run: kubectl curfew login`;
}

/** Where the API server does not answer a request, or cannot be asked it. */
export const FAILURES: Readonly<Record<'away' | 'broken' | 'too_large' | 'headers', Refusal>> = {
  away: API_SERVER_AWAY,
  broken: { status: 502, code: 'api_server', message: 'curfew: the answer of the API server cannot be passed on' },
  too_large: API_SERVER_CLOSING,
  headers: badRequest('the headers cannot be passed on'),
};
