// Which URLs may carry secrets: https, or plain http to this very machine.

const LOOPBACK = /^(127(\.[0-9]{1,3}){3}|\[::1\]|localhost)$/;

/** As a person writes a URL: `URL` itself trims spaces, drops line breaks, and reads `https:\\host` and `https:host` alike. */
const FORM = /^[a-z][a-z0-9+.-]*:\/\/[^\s\p{Cc}\\/][^\s\p{Cc}\\]*$/iu;
/** Anything before an `@` in the authority, be it empty: `URL` would drop it. */
const USER = /^[^/]*\/\/[^/]*@/;

export type UrlFault = 'not a URL' | 'not https' | 'has user, query or fragment';

/** Whether a broker's or an issuer's URL is fit to be used: absolute, https (http on loopback), no user, query or fragment. */
export function faultOfUrl(text: string): UrlFault | undefined {
  if (!FORM.test(text) || !URL.canParse(text)) return 'not a URL';
  const url = new URL(text);
  if (USER.test(text) || text.includes('?') || text.includes('#')) return 'has user, query or fragment';
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) return undefined;
  return 'not https';
}

export function isLoopback(hostname: string): boolean {
  return LOOPBACK.test(hostname);
}
