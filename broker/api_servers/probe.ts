// Whether one API server takes a token: asked what everybody may ask, so that all that it says is whether it knows the token.

import { Agent, request } from 'undici';
import { STRONG_TLS } from '../../shared/tls.ts';
import { sayFailure } from './failure.ts';

/** Milliseconds. */
const CONNECT_MS = 2_000;
const TOTAL_MS = 4_000;

export type Taken = { readonly taken: boolean } | { readonly away: string };

/** @param server its URL @param ca PEM; the system's where it is absent */
export async function takesToken(server: string, ca: string | undefined, token: string): Promise<Taken> {
  // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing.
  const agent = new Agent({
    connect: { ...STRONG_TLS, timeout: CONNECT_MS, rejectUnauthorized: true, ...(ca !== undefined && { ca }) },
  });
  try {
    const answer = await request(`${server.replace(/\/$/, '')}/version`, {
      headers: { authorization: `Bearer ${token}` },
      dispatcher: agent,
      signal: AbortSignal.timeout(TOTAL_MS),
    });
    await answer.body.dump();
    const { statusCode: status } = answer;
    // Whether the token may do anything there is another question: who is asked that is known.
    if (status === 401) return { taken: false };
    return status === 200 || status === 403 ? { taken: true } : { away: `answered HTTP ${status}` };
  } catch (error) {
    return { away: sayFailure(error) };
  } finally {
    await agent.destroy();
  }
}
