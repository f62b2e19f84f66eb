// Back-channel logout of the test IdP: oidc-provider's own sender, reaching a receiver whose certificate is a test's own.
import type Provider from 'oidc-provider';
import { Agent, fetch as undiciFetch } from 'undici';
import type { IdpStore } from './idp_store.ts';

export interface Backchannel {
  /** The client's `backchannel_logout_uri`. */
  readonly uri: string;
  /** PEM of the receiver's certificate authority. */
  readonly ca?: string | undefined;
  /** Whether logout tokens carry the session's `sid`. */
  readonly session_required?: boolean | undefined;
}

/** What the receiver answered. */
export interface LogoutAnswer {
  readonly status: number;
  readonly body: string;
}

/** oidc-provider reaches out with this; it would refuse loopback addresses otherwise. */
export function createFetch({ ca }: Backchannel, answers: LogoutAnswer[]): typeof fetch {
  const dispatcher = new Agent({ connect: { ...(ca !== undefined && { ca }) } });
  return (async (url: string, options: RequestInit) => {
    const { method, headers, body, signal } = options;
    const init = { method, headers, body, signal, redirect: 'manual', dispatcher };
    const response = await undiciFetch(url, init as never);
    const text = await response.text();
    answers.push({ status: response.status, body: text });
    return new Response(text === '' ? null : text, { status: response.status });
  }) as typeof fetch;
}

/** Ends the person's sessions at the IdP, and tells the client of each. @returns what it answered */
export async function logOutEverywhere(
  provider: Provider,
  store: IdpStore,
  clientId: string,
  sub: string,
  answers: LogoutAnswer[],
): Promise<readonly LogoutAnswer[]> {
  const client = await provider.Client.find(clientId);
  if (!client) throw new TypeError(`the IdP has no client ${clientId}`);
  const sids = store.sidsOf(sub, clientId);
  store.endSessions(sub);
  answers.length = 0;
  for (const sid of sids) {
    // It throws for any answer but 200 and 204, which is in `answers` by then.
    await (client as unknown as { backchannelLogout(sub: string, sid: string): Promise<void> })
      .backchannelLogout(sub, sid)
      .catch((error: unknown) => {
        if (answers.length === 0) throw error;
      });
  }
  return [...answers];
}
