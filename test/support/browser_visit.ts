// What a person with a browser does at a login: follow redirects, keep cookies, fill the form, end at the program's page.
import { setTimeout as sleep } from 'node:timers/promises';
import { type HTMLElement, parse } from 'node-html-parser';
import type { CookieJar } from 'tough-cookie';

export interface Person {
  readonly user: string;
  readonly password: string;
  readonly otp: string;
}

/** `slow` takes that many seconds before the form is sent, or, without a form, before leaving the IdP. */
export type Mode = 'login' | 'abandon' | 'deny' | `slow:${number}`;

export interface Outcome {
  /** `callback`: a page of another origin than the first; `page`: one of the IdP's own, such as an error. */
  readonly ended: 'callback' | 'page' | 'abandoned' | 'refused';
  readonly status: number;
  /** True if the login form was filled in and sent. */
  readonly form: boolean;
  /** Method and path of each step, without queries. */
  readonly steps: readonly string[];
  /** The last page as a person reads it. */
  readonly text: string;
}

interface Step {
  readonly url: URL;
  readonly body?: URLSearchParams | undefined;
}

const most_steps = 25;

async function request({ url, body }: Step, jar: CookieJar): Promise<Response> {
  const response = await fetch(url, {
    method: body ? 'POST' : 'GET',
    redirect: 'manual',
    headers: { accept: 'text/html,*/*', cookie: await jar.getCookieString(url.href) },
    signal: AbortSignal.timeout(30_000),
    ...(body ? { body } : {}),
  });
  for (const cookie of response.headers.getSetCookie()) await jar.setCookie(cookie, url.href, { ignoreError: true });
  return response;
}

function redirection(response: Response, { url, body }: Step): Step | undefined {
  const location = response.headers.get('location');
  if (location === null || response.status < 300 || response.status > 399) return undefined;
  const keepsMethod = response.status === 307 || response.status === 308;
  return { url: new URL(location, url), body: keepsMethod ? body : undefined };
}

function loginForm(page: HTMLElement): HTMLElement | undefined {
  return page.querySelectorAll('form').find((form) => form.querySelector('input[type=password]'));
}

function filled(form: HTMLElement, url: URL, { user, password, otp }: Person): Step {
  const body = new URLSearchParams();
  for (const input of form.querySelectorAll('input')) {
    const name = input.getAttribute('name');
    if (name !== undefined) body.set(name, input.getAttribute('value') ?? '');
  }
  body.set('username', user);
  body.set('password', password);
  body.set('otp', otp);
  return { url: new URL(form.getAttribute('action') ?? '', url), body };
}

function cancelled(page: HTMLElement, url: URL): Step {
  const link = page.querySelectorAll('a').find(({ text }) => /cancel/i.test(text));
  const href = link?.getAttribute('href');
  if (href === undefined) throw new Error('the login page has no way to cancel');
  return { url: new URL(href, url) };
}

/** As every browser does after the first page of an origin; nobody answers there, and nothing depends on it. */
async function askForIcon(url: URL): Promise<void> {
  await fetch(new URL('/favicon.ico', url), { signal: AbortSignal.timeout(1000) })
    .then((response) => response.arrayBuffer())
    .catch(() => undefined);
}

/** Of the program's own listener: one random word. */
function isShort({ hostname, pathname }: URL): boolean {
  return ['127.0.0.1', '[::1]', 'localhost'].includes(hostname) && /^\/[A-Za-z0-9_-]{22}$/.test(pathname);
}

/**
 * Visits `start` as `person` until there is nothing more to do. Rejects when a server cannot be reached.
 * @param leaving called before the first request to another origin: who waits there may end us, or start another browser
 */
export async function visit(
  start: URL,
  person: Person,
  mode: Mode,
  jar: CookieJar,
  leaving: () => void,
): Promise<Outcome> {
  const steps: string[] = [];
  let form = false;
  /** The same form once more means that it was refused; after the program sent us back, it is a new one. */
  let sent = false;
  let patience = mode.startsWith('slow:') ? Number(mode.slice(5)) * 1000 : 0;
  const hesitate = async () => {
    await sleep(patience);
    patience = 0;
  };
  const outcome = (ended: Outcome['ended'], status: number, text: string): Outcome => ({
    ended,
    status,
    form,
    steps,
    text: text.replace(/\s+/g, ' ').trim(),
  });

  let step: Step = { url: start };
  /** Where the login is: a short address of the program leads there at once. */
  let home = start.origin;
  while (steps.length < most_steps) {
    steps.push(`${step.body ? 'POST' : 'GET'} ${step.url.pathname}`);
    const response = await request(step, jar);
    const onward = redirection(response, step);
    if (onward) {
      await response.body?.cancel();
      if (steps.length === 1 && isShort(start)) home = onward.url.origin;
      const leaves = onward.url.origin !== home;
      if (leaves && mode === 'abandon') return outcome('abandoned', response.status, '');
      if (leaves) {
        await hesitate();
        leaving();
        sent = false;
      }
      step = onward;
      continue;
    }
    const page = parse(await response.text());
    const text = (page.querySelector('body') ?? page).textContent;
    if (step.url.origin !== home) {
      await askForIcon(step.url);
      return outcome('callback', response.status, text);
    }
    if (mode === 'abandon') return outcome('abandoned', response.status, text);
    const login = loginForm(page);
    if (!login) return outcome('page', response.status, text);
    if (sent) return outcome('refused', response.status, text);
    await hesitate();
    if (mode === 'deny') {
      step = cancelled(page, step.url);
    } else {
      form = true;
      sent = true;
      step = filled(login, step.url, person);
    }
  }
  throw new Error(`still being sent around after ${most_steps} steps`);
}
