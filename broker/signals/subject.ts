// Whom a security event speaks of (RFC 9493, and the complex subjects of SSF 1.0), in our words: a person of the identity
// provider, or a session there. What cannot be understood is said, not passed over: somebody was to be logged out.

import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import { isName } from '../text/names.ts';

/** As far as the subject says; a person is named by `sub` or by the name of an account. */
export interface Named {
  readonly sub?: string | undefined;
  readonly email?: string | undefined;
  readonly idp_sid?: string | undefined;
}

export interface Listener {
  /** The identity provider's. */
  readonly issuer: string;
  /** Of whose persons the transmitter may speak. */
  readonly issuers: readonly string[];
  /** Whether usernames are e-mail addresses: else one says nothing. */
  readonly by_email: boolean;
}

/** What Keycloak calls the session where an administrator logs somebody out everywhere. */
const EVERY_SESSION = 'ALL';

/**
 * @param subject as it came
 * @returns `elsewhere` for a person of another issuer, of whom the transmitter may speak and we know nothing
 * @throws CurfewError `set_subject` when it is not understood, `set_not_allowed` when it is not the transmitter's to speak of
 */
export function readSubject(subject: unknown, listener: Listener): Named | 'elsewhere' {
  if (!isObject(subject)) throw notUnderstood('there is none');
  const format = formatOf(subject);
  if (format === 'complex') return readComplex(subject, listener);
  return readSimple(subject, format, listener);
}

function readSimple(
  subject: Readonly<Record<string, unknown>>,
  format: string,
  listener: Listener,
): Named | 'elsewhere' {
  const { issuer, issuers, by_email } = listener;
  switch (format) {
    // RISC drafts wrote id-token-claims, where sub may be absent
    case 'id_token_claims':
    case 'iss_sub': {
      const { iss, sub } = subject;
      if (format === 'id_token_claims' && sub === undefined) return readSimple(subject, 'email', listener);
      if (!isText(iss) || !isText(sub)) throw notUnderstood(`an ${format} without iss and sub`);
      if (!issuers.includes(iss)) {
        throw new CurfewError('set_not_allowed', 'the transmitter cannot speak of persons of that issuer');
      }
      return iss === issuer ? { sub } : 'elsewhere';
    }
    case 'email': {
      if (!isText(subject.email)) throw notUnderstood('an email without email');
      if (!by_email) throw notUnderstood('an email, and usernames are none here');
      return { email: subject.email };
    }
    // what a session is called at the identity provider: CAEP 1.0 3.1.1 names sessions so
    case 'opaque': {
      if (!isText(subject.id)) throw notUnderstood('an opaque without id');
      if (subject.id === EVERY_SESSION) throw notUnderstood('all sessions, and no user whose');
      return { idp_sid: subject.id };
    }
    case 'aliases':
      return readAliases(subject, listener);
    default:
      throw notUnderstood(/^[a-z0-9_.:/-]{1,40}$/i.test(format) ? `the format "${format}"` : 'its format is unknown');
  }
}

/** Several names of one person: the first that is a `sub`, as that is one person for good; else the first that is understood. */
function readAliases({ identifiers }: Readonly<Record<string, unknown>>, listener: Listener): Named | 'elsewhere' {
  const read: (Named | 'elsewhere')[] = [];
  for (const identifier of Array.isArray(identifiers) ? identifiers.slice(0, 20) : []) {
    if (!isObject(identifier) || ['aliases', 'opaque', 'complex'].includes(formatOf(identifier))) continue;
    try {
      read.push(readSubject(identifier, listener));
    } catch (error) {
      if (!(error instanceof CurfewError) || error.code !== 'set_subject') throw error;
    }
  }
  const named = read.filter((one) => one !== 'elsewhere');
  const best = named.find(({ sub }) => sub !== undefined) ?? named[0] ?? read[0];
  if (best !== undefined) return best;
  throw notUnderstood('aliases of which none is understood');
}

/** SSF 1.0 3.2: all that is named must fit. A device says nothing here: with a person, it is about the person. */
function readComplex({ user, session }: Readonly<Record<string, unknown>>, listener: Listener): Named | 'elsewhere' {
  const person = user === undefined ? {} : readSubject(user, listener);
  if (person === 'elsewhere') return person;
  if (session === undefined) {
    if (person.sub === undefined && person.email === undefined) throw notUnderstood('neither user nor session');
    return person;
  }
  if (!isObject(session) || formatOf(session) !== 'opaque' || !isText(session.id)) {
    throw notUnderstood('a session that is not opaque');
  }
  if (session.id !== EVERY_SESSION) return { ...person, idp_sid: session.id };
  if (person.sub === undefined && person.email === undefined) throw notUnderstood('all sessions, and no user whose');
  return person;
}

/** Drafts wrote `subject_type`, with dashes, and left it out where members say enough. */
function formatOf({ format, subject_type, user, session }: Readonly<Record<string, unknown>>): string {
  const written = format ?? subject_type;
  if (typeof written === 'string') return written.replaceAll('-', '_');
  return user !== undefined || session !== undefined ? 'complex' : '';
}

function notUnderstood(what: string): CurfewError {
  return new CurfewError('set_subject', `the subject is not understood: ${what}`);
}

function isText(value: unknown): value is string {
  return isName(value, 1024);
}
