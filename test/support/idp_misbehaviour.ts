// How the test IdP can fail, one endpoint at a time. What is wrong with an answer's content is done where it is made.
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Endpoint = 'discovery' | 'jwks' | 'token' | 'authorize';

/**
 * `hang` never answers, `500` and `html` answer that, `drip` gives the true answer one byte a second, `endless` a body
 * without end, `refuse` resets the connection, `redirect` sends to another origin, where the true answer is.
 */
export type TransportFault = 'hang' | '500' | 'html' | 'drip' | 'endless' | 'refuse' | 'redirect';

export interface Misbehaviour {
  /** `wrong_issuer`: the document names another issuer. */
  readonly discovery?: TransportFault | 'wrong_issuer';
  /** `other_keys`: well-formed, but none of the keys that sign. */
  readonly jwks?: TransportFault | 'other_keys';
  /** `wrong_issuer`: well signed, with another `iss`; `other_keys`: signed by a key that the JWKS does not show. */
  readonly token?: TransportFault | 'wrong_issuer' | 'other_keys' | 'slow_down';
  readonly authorize?: TransportFault;
}

const endpoints: Readonly<Record<string, Endpoint>> = {
  '/.well-known/openid-configuration': 'discovery',
  '/jwks': 'jwks',
  '/token': 'token',
  '/auth': 'authorize',
};

export function endpointOf(path: string): Endpoint | undefined {
  return endpoints[path];
}

/** Holds back what a handler writes, headers and all lengths as they are, and lets one byte a second out. */
function drip(response: ServerResponse): void {
  const end = response.end.bind(response);
  const write = response.write.bind(response);
  response.end = ((body?: string | Uint8Array) => {
    const bytes = Buffer.from(body ?? '');
    let next = 0;
    const tick = () => {
      if (next >= bytes.length) {
        clearInterval(timer);
        end();
      } else write(bytes.subarray(next, ++next));
    };
    const timer = setInterval(tick, 1000);
    response.once('close', () => clearInterval(timer));
    tick();
    return response;
  }) as typeof response.end;
}

function endless(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  const chunk = Buffer.alloc(65_536, ' ');
  const pour = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', pour);
  pour();
}

/**
 * Applies a fault to one request.
 * @returns true if the request is answered (or never will be); false if the true handler must still run
 */
export function misbehave(
  fault: string | undefined,
  elsewhere: string,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  switch (fault) {
    case 'hang':
      return true;
    case '500':
      response.writeHead(500, { 'content-type': 'text/plain' }).end('internal server error\n');
      return true;
    case 'slow_down':
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"slow_down"}');
      return true;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Welcome</title>\n');
      return true;
    case 'refuse':
      request.socket.resetAndDestroy();
      return true;
    case 'redirect':
      response.writeHead(307, { location: `${elsewhere}${request.url ?? '/'}` }).end();
      return true;
    case 'endless':
      endless(response);
      return true;
    case 'drip':
      drip(response);
      return false;
    default:
      return false;
  }
}
