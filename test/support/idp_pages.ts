// The test IdP's only page: a login form for a person's browser or a scripted one, without any script in it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type Provider from 'oidc-provider';
import type { Users } from './idp_users.ts';

export interface LoginCounts {
  forms: number;
  logins: number;
  refusedLogins: number;
}

export interface PageParts {
  readonly provider: Provider;
  readonly users: Users;
  readonly counts: LoginCounts;
  /** A line for the person at the demo, such as who may log in. */
  readonly hint: string | undefined;
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escaped(value: string): string {
  return value.replace(/[&<>"]/g, (character) => entities[character] ?? '');
}

interface FormContent {
  readonly uid: string;
  readonly hint: string | undefined;
  readonly complaint?: string;
  readonly secondFactor: boolean;
}

function form({ uid, hint, complaint, secondFactor }: FormContent): string {
  const line = (content: string | undefined) => (content ? `<p>${escaped(content)}</p>` : '');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in</title>
<style>body{font:16px system-ui;max-width:22rem;margin:4rem auto}label,input,button{display:block;width:100%;margin:.3rem 0}</style>
</head><body><h1>Log in</h1>${line(complaint)}
<form method="post" action="/interaction/${escaped(uid)}">
<label>User name <input name="username" autocomplete="username" autofocus required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<label>Second factor${secondFactor ? '' : ' (if you have one)'} <input name="otp" autocomplete="one-time-code"></label>
<button type="submit">Log in</button></form>
<p><a href="/interaction/${escaped(uid)}/abort">Cancel</a></p>${line(hint)}</body></html>
`;
}

function sendForm(response: ServerResponse, status: number, content: FormContent): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(form(content));
}

/** Answers `/interaction/UID` (GET and POST) and `/interaction/UID/abort`; anything else is not ours: false. */
export async function answerInteraction(
  { provider, users, counts, hint }: PageParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const [, room, uid, action] = new URL(request.url ?? '/', 'http://idp').pathname.split('/');
  if (room !== 'interaction' || uid === undefined) return false;
  const { params } = await provider.interactionDetails(request, response);
  const content = { uid, hint, secondFactor: /\bmfa\b/.test(String(params.acr_values ?? '')) };
  if (action === 'abort') {
    const result = { error: 'access_denied', error_description: 'the person cancelled' };
    await provider.interactionFinished(request, response, result);
  } else if (request.method === 'POST') {
    const fields = new URLSearchParams(await text(request));
    const [username, password, otp] = ['username', 'password', 'otp'].map((name) => fields.get(name) ?? '');
    const login = users.authenticate(username ?? '', password ?? '', otp ?? '');
    if (login) {
      counts.logins += 1;
      await provider.interactionFinished(request, response, { login: { ...login } });
    } else {
      counts.refusedLogins += 1;
      sendForm(response, 401, { ...content, complaint: 'Wrong user name, password or second factor.' });
    }
  } else {
    counts.forms += 1;
    sendForm(response, 200, content);
  }
  return true;
}
