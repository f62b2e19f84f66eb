// The engine's denials as a person reads them: one line, the same from plugin, broker and webhook.

import type { Denied } from './decide.ts';
import { sayDuration } from './duration.ts';
import type { EndReason } from './session.ts';
import type { Seconds } from './time.ts';

/** `login is too old: last login 18m ago, limit 15m` and the like. */
export function sayDenial(denied: Denied): string {
  switch (denied.reason) {
    case 'login_too_old':
      return `login is too old: last login ${ago(denied.found)}, limit ${length(denied.limit)}`;
    case 'idle_too_long':
      return `session is idle for too long: not used for ${denied.found === undefined ? 'too long' : sayDuration(denied.found)}, limit ${length(denied.limit)}`;
    case 'revalidation_due':
      return `the identity provider has to confirm the account again: last ${ago(denied.found)}, limit ${length(denied.limit)}`;
    case 'acr_too_low':
      return denied.acr_values?.length === 0
        ? 'login is too weak: no authentication level (acr) meets every requirement'
        : `login is too weak: acr ${(denied.acr_values ?? []).join(' or ')} is required`;
    case 'session_ended':
      return `session is over: ${sayEnd(denied.end_reason)}`;
  }
}

function sayEnd(reason: EndReason | undefined): string {
  switch (reason) {
    case 'max_age':
      return 'the login reached its longest age';
    case 'inactivity_timeout':
      return 'it was not used for too long';
    case 'logout':
      return 'logged out';
    case 'owner':
      return 'ended by its owner';
    case 'administrator':
      return 'ended by an administrator';
    case 'replaced':
      return 'replaced by a newer login';
    case 'policy':
      return 'the policy no longer admits it';
    case 'too_many_sessions':
      return 'too many sessions of this person';
    case 'renamed':
      return 'the name of the account at the identity provider was changed';
    case 'idp_logout':
      return 'logged out at the identity provider';
    case 'session_revoked':
      return 'revoked by the identity provider';
    case 'credential_change':
      return 'the credentials at the identity provider were changed';
    case 'assurance_level_change':
      return 'the identity provider trusts the login less than before';
    case 'device_compliance_change':
      return 'a device does not comply any more';
    case 'account_disabled':
      return 'the account was disabled';
    case 'account_purged':
      return 'the account was deleted';
    case 'risk_level_change':
      return 'the identity provider sees a higher risk than before';
    case 'token_claims_change':
      return 'what the identity provider says of the person changed';
    case 'account_credential_change_required':
      return 'the credentials at the identity provider have to be changed';
    case 'credential_compromise':
      return 'the credentials at the identity provider are compromised';
    case 'identifier_changed':
      return 'the address or number of the account changed';
    case 'identifier_recycled':
      return 'the address or number of the account belongs to somebody else now';
    case 'recovery_activated':
      return 'recovery of the account was started';
    case 'recovery_information_changed':
      return 'what the account is recovered with changed';
    case 'sessions_revoked':
      return 'all sessions were revoked by the identity provider';
    case 'tokens_revoked':
      return 'all tokens were revoked by the identity provider';
    case undefined:
      return 'it ended';
  }
}

function ago(found: Seconds | undefined): string {
  return found === undefined ? 'too long ago' : `${sayDuration(found)} ago`;
}

function length(limit: Seconds | undefined): string {
  return limit === undefined ? 'reached' : sayDuration(limit);
}
