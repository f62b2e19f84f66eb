// What a person does who was given a code (RFC 8628): opens the address in some browser, types the code, logs in.

import { type HTMLElement, parse } from 'node-html-parser';
import { CookieJar } from 'tough-cookie';

export interface DevicePerson {
  readonly user: string;
  readonly password: string;
  /** Whether they say no at the login. */
  readonly deny?: boolean;
}

const most_steps = 20;

/** @returns the last page as a person reads it */
export async function enterCode(
  address: string,
  code: string,
  person: DevicePerson,
  jar = new CookieJar(),
): Promise<string> {
  let [url, body]: [URL, URLSearchParams | undefined] = [new URL(address), undefined];
  let denied = false;
  for (let step = 0; step < most_steps; step++) {
    const response: Response = await fetch(url, {
      method: body ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie: await jar.getCookieString(url.href) },
      ...(body && { body }),
    });
    for (const cookie of response.headers.getSetCookie()) await jar.setCookie(cookie, url.href, { ignoreError: true });
    const location = response.headers.get('location');
    if (location !== null) {
      [url, body] = [new URL(location, url), undefined];
      continue;
    }
    const page = parse(await response.text());
    const form = page.querySelector('form');
    if (!form || denied) return (page.querySelector('body') ?? page).textContent.trim();
    const cancel = page.querySelectorAll('a').find(({ text }) => /cancel/i.test(text));
    denied = person.deny === true && cancel !== undefined;
    if (denied) [url, body] = [new URL(cancel?.getAttribute('href') ?? '', url), undefined];
    else [url, body] = [new URL(form.getAttribute('action') ?? '', url), filled(form, code, person)];
  }
  throw new Error(`still being sent around after ${most_steps} steps`);
}

function filled(form: HTMLElement, code: string, { user, password }: DevicePerson): URLSearchParams {
  const fields = new URLSearchParams();
  for (const input of form.querySelectorAll('input')) {
    const name = input.getAttribute('name');
    if (name !== undefined) fields.set(name, input.getAttribute('value') ?? '');
  }
  if (form.querySelector('input[type=password]')) {
    fields.set('username', user);
    fields.set('password', password);
  } else if (fields.has('user_code')) fields.set('user_code', code);
  return fields;
}
