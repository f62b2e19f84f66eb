// The way by a browser anywhere: it is sent to an address where nobody listens, and the person brings that address back.

import { CurfewError } from '../../shared/errors.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { deadlineWithin } from '../host/countdown.ts';
import type { Host } from '../host/host.ts';
import type { Authorization, IdentityProvider } from '../wire/identity_provider.ts';
import { PATH } from './listener.ts';
import { LOGIN_DEADLINE_MS, type Way } from './way.ts';

const TRIES = 3;
/** Where no port is registered, any is allowed (RFC 8252 section 7.3): one of those that nothing is meant to listen at. */
const [FIRST_PORT, PORTS] = [49_152, 16_384];

/**
 * The redirect of RFC 8252 section 7.3 with a person in place of the listener: the address carries the code (RFC 6749 section
 * 4.1.2).
 */
export function openPasteWay(
  host: Pick<Host, 'ask' | 'random' | 'say' | 'stopwatch'>,
  provider: IdentityProvider,
  { redirect_host, redirect_ports }: Metadata['identity_provider'],
): Way {
  const port = redirect_ports[0] ?? FIRST_PORT + (host.random(2).readUInt16BE() % PORTS);
  const redirect_uri = `http://${redirect_host}:${port}${PATH}`;
  return {
    can_ask_again: true,
    async bring(ask, signal) {
      const authorization = await provider.authorize({ ...ask, redirect_uri });
      host.say(`log in, in any browser, at: ${authorization.url}`);
      host.say(`after it the browser shows an error, at an address that begins with ${redirect_uri}`);
      const brought = await askForAnswer(host, authorization, signal);
      return { ...brought, tell: async () => undefined };
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** What is pasted may be anything: it is asked for again, a few times. */
async function askForAnswer(
  host: Pick<Host, 'ask' | 'say' | 'stopwatch'>,
  authorization: Authorization,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<Authorization['finish']>>> {
  const left = deadlineWithin(LOGIN_DEADLINE_MS, host);
  for (let tries = 1; ; tries++) {
    const text = await host.ask('paste that address, or the code in it: ', left(), signal);
    signal.throwIfAborted();
    if (text === undefined) throw new CurfewError('login_failed', 'nothing was pasted');
    const query = queryOf(text, authorization);
    const tried = query.fault === undefined ? await finish(authorization, query) : refusal(query.fault);
    if (!(tried instanceof CurfewError)) return tried;
    if (tries === TRIES) throw tried;
    host.say(`${tried.message}: once more`);
  }
}

const refusal = (fault: string) => new CurfewError('login_failed', fault);

/** A code alone may be no code at all: the identity provider says so, and the right one is still good. */
async function finish(authorization: Authorization, { text, is_code }: { text: string; is_code?: true | undefined }) {
  try {
    return await authorization.finish(text);
  } catch (error) {
    if (is_code && error instanceof CurfewError && error.code === 'login_failed') return error;
    throw error;
  }
}

type Query =
  | { readonly text: string; readonly is_code?: true | undefined; readonly fault?: undefined }
  | { readonly fault: string; readonly text?: undefined };

/** A whole address, its query alone, or the code alone, which PKCE holds to this login, and the nonce. */
export function queryOf(pasted: string, { state, withCode }: Pick<Authorization, 'state' | 'withCode'>): Query {
  // A terminal may have wrapped the address.
  const text = pasted.replace(/\s+/g, '');
  if (text === '') return { fault: 'nothing was pasted' };
  const query = text.includes('?')
    ? text.slice(text.indexOf('?') + 1)
    : /(^|&)(code|error)=/.test(text)
      ? text
      : undefined;
  if (query === undefined) {
    if (/^https?:/i.test(text)) return { fault: 'that address has no code in it' };
    // RFC 6749 appendix A.11
    if (!/^[\x21-\x7e]{1,4096}$/.test(text)) return { fault: 'that is neither an address nor a code' };
    return { text: withCode(text), is_code: true };
  }
  const parameters = new URLSearchParams(query.split('#', 1)[0]);
  if (!parameters.has('code') && !parameters.has('error')) return { fault: 'that address has no code in it' };
  if (parameters.get('state') !== state) return { fault: 'that address belongs to another login' };
  return { text: parameters.toString() };
}
