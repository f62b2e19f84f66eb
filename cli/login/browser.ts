// The way by a browser on this machine: sent to the identity provider, and back to a listener on loopback (RFC 8252 section 7.3).

import { CurfewError } from '../../shared/errors.ts';
import type { Metadata } from '../../shared/metadata.ts';
import type { Host } from '../host/host.ts';
import { whileWaiting } from '../host/waiting.ts';
import type { IdentityProvider } from '../wire/identity_provider.ts';
import { openListener, type Visit } from './listener.ts';
import { openBrowser } from './open_browser.ts';
import { page } from './page.ts';
import { LOGIN_DEADLINE_MS, type Way } from './way.ts';

/** @param no_browser the address is only shown, whole: the browser may be on another machine */
export async function openBrowserWay(
  host: Pick<Host, 'env' | 'platform' | 'say' | 'size' | 'status' | 'stopwatch'>,
  provider: IdentityProvider,
  { redirect_host, redirect_ports }: Metadata['identity_provider'],
  no_browser: boolean,
): Promise<Way> {
  const listener = await openListener(redirect_host, redirect_ports);
  /** The browser of the attempt before: it is sent on in the same tab. */
  let before: Visit | undefined;
  return {
    can_ask_again: true,
    async bring(ask, signal) {
      const authorization = await provider.authorize({ ...ask, redirect_uri: listener.redirect_uri });
      const waiting = listener.wait(authorization.state, LOGIN_DEADLINE_MS);
      if (before) await before.redirect(authorization.url);
      else if (no_browser) host.say(`log in at: ${authorization.url}`);
      else show(host, authorization.url, listener.shorten(authorization.url), waiting);
      const visit = await whileWaiting(host, 'the login in the browser', LOGIN_DEADLINE_MS, waiting, signal);
      before = visit;
      const tell = (status: number, title: string, lines: readonly string[]) =>
        visit.answer(status, page(title, lines));
      try {
        return { ...(await authorization.finish(visit.query)), tell };
      } catch (error) {
        const message = error instanceof CurfewError ? error.message : 'something unexpected happened';
        await tell(400, 'Not logged in', [sentence(message), LOOK_AT_TERMINAL]);
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

export const LOOK_AT_TERMINAL = 'Look at the terminal for what to do.';

export function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}

/**
 * Does not wait for the browser's command: the person may be back before it has ended.
 *
 * @param short what is shown; the browser that is opened gets the whole one, so that this one is still good
 */
function show(
  host: Pick<Host, 'say' | 'env' | 'platform'>,
  url: string,
  short: string,
  waiting: Promise<unknown>,
): void {
  host.say(`log in at: ${short}`);
  let over = false;
  const end = () => {
    over = true;
  };
  waiting.then(end, end);
  void openBrowser(host, url).then((opened) => {
    if (opened || over) return;
    host.say('no browser could be opened: open the address above in one on this machine, or use --flow paste');
  });
}
