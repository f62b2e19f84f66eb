// What a cache entry is worth now. Pure; the engine judges, this only turns its clock to the broker's.
// Part of the warm path: loads nothing.

import { decide } from '../../shared/decide.ts';
import { sayDenial } from '../../shared/messages.ts';
import { between, earliest, isSeconds, plus, type Seconds, seconds } from '../../shared/time.ts';
import { factsOf, isObject } from '../../shared/wire.ts';
import { type Entry, MARGIN_SECONDS, type Remembered } from './entry.ts';

const ONE = seconds(1);

export type Judgement =
  /** `until`: from then on it must not be printed any more. */
  | { readonly act: 'print'; readonly token: string; readonly expirationTimestamp: Seconds; readonly until: Seconds }
  /** Final and offline: only a login changes it. */
  | { readonly act: 'refuse'; readonly refused: Remembered }
  /** The broker has to be asked: nothing here, nearly over, or idle as far as we know. */
  | { readonly act: 'ask' };

const ASK: Judgement = { act: 'ask' };

export function judge(entry: Entry, now: Seconds): Judgement {
  const { session, refused, minted_local } = entry;
  if (now < minted_local) return ASK;
  // Nothing that a broker told: what is absurd is not a reason to refuse for good either.
  if (Math.max(minted_local, session?.broker_time ?? 0) > LAST) return ASK;
  if (!session) return refused ? { act: 'refuse', refused } : ASK;
  const instant = plus(session.broker_time, between(minted_local, now));
  // By age alone: that is final, whether the session is idle as well or not.
  const used_now = decide(session.limits, { ...factsOf(session), last_used: instant }, instant);
  if (!used_now.allow && used_now.reason === 'login_too_old') {
    return { act: 'refuse', refused: { reason: used_now.reason, message: sayDenial(used_now) } };
  }
  if (refused) return { act: 'refuse', refused };
  return decide(session.limits, factsOf(session), instant).allow ? judgeToken(entry, now) : ASK;
}

/** A token that has been edited, or that by its own `exp` is over by our clock, is never printed: the broker is asked. */
function judgeToken({ session, token, expires_in, minted_local }: Entry, now: Seconds): Judgement {
  if (!session || token === undefined || expires_in === undefined) return ASK;
  if (now - minted_local >= expires_in - MARGIN_SECONDS) return ASK;
  const times = timesOf(token);
  if (!times || expires_in > times.exp - times.iat || now >= times.exp) return ASK;
  // A ServiceAccount's token is dated by the clock of its cluster.
  if (times.ours && times.iat !== session.broker_time) return ASK;
  const expirationTimestamp = expirationOf(minted_local, expires_in, now);
  if (expirationTimestamp > LAST) return ASK;
  return { act: 'print', token, expirationTimestamp, until: earliest(expirationTimestamp, times.exp) };
}

/** The end of the year 9999: RFC 3339 writes none that is later. */
const LAST = seconds(253_402_300_799);

/** When kubectl shall ask again: earlier than the token's `exp`, and never in the past (client-go has no margin). */
export function expirationOf(minted_local: Seconds, expires_in: Seconds, now: Seconds): Seconds {
  return Math.max(plus(now, ONE), plus(minted_local, expires_in) - MARGIN_SECONDS) as Seconds;
}

/** `iat` and `exp` of a JWT, unverified: to see that the cache says of it what it says itself. Ours have a `sid`. */
function timesOf(token: string): { iat: Seconds; exp: Seconds; ours: boolean } | undefined {
  try {
    const payload: unknown = JSON.parse(bytesOf(token.split('.')[1] ?? ''));
    if (!isObject(payload)) return undefined;
    const { iat, exp, sid } = payload;
    return isSeconds(iat) && isSeconds(exp) ? { iat, exp, ours: sid !== undefined } : undefined;
  } catch {
    return undefined;
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** base64url, each byte as one character: all that is looked for in a payload is ASCII. Not every engine has `atob`. */
function bytesOf(text: string): string {
  const bytes: string[] = [];
  let [held, bits] = [0, 0];
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) throw new TypeError('not base64url');
    held = ((held << 6) | value) & 0xfff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push(String.fromCharCode((held >> bits) & 0xff));
  }
  return bytes.join('');
}
