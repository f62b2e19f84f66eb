// An IdP from before PKCE (RFC 7636), made of the certified one: it is shown other names for the parameters, and ignores those.

import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/** Of one length each, so that a body stays as long as it said. */
const UNKNOWN: readonly (readonly [known: string, unknown: string])[] = [
  ['code_challenge', 'unknown_string'],
  ['code_verifier', 'unknown_field'],
];

const renamed = (text: string) => UNKNOWN.reduce((so_far, [known, other]) => so_far.replaceAll(known, other), text);

/** Before anything reads the request. */
export function hidePkce(request: IncomingMessage): void {
  request.url = renamed(request.url ?? '/');
  const iterate = request.iterator.bind(request);
  const whole = async function* () {
    const chunks: Buffer[] = [];
    for await (const chunk of iterate({ destroyOnReturn: false })) chunks.push(chunk);
    yield Buffer.from(renamed(Buffer.concat(chunks).toString('latin1')), 'latin1');
  };
  request.iterator = () => Readable.from(whole()).iterator();
}
