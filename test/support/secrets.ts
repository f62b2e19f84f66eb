// Secrets in every form in which they could come to light, and a search for them.

import assert from 'node:assert/strict';

/** By name: bytes, or a text. */
export type Secrets = Readonly<Record<string, string | Uint8Array>>;

const SHORTEST = 8;

/** A secret as people, programs and protocols write it. */
function formsOf(secret: string | Uint8Array): readonly string[] {
  const bytes = Buffer.from(secret);
  const text =
    typeof secret === 'string' ? [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)] : [];
  // Of a JWS each part by itself is too much; its header tells nothing.
  const parts = typeof secret === 'string' ? secret.split('.').slice(1) : [];
  const forms = [
    ...text,
    ...parts,
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('hex'),
    bytes.toString('latin1'),
  ];
  return [...new Set(forms.map((form) => form.replace(/=+$/, '')))].filter((form) => form.length >= SHORTEST);
}

/**
 * @param places by name, what is there as text
 * @throws AssertionError naming the secret and the place, never with the secret itself
 */
export function assertNowhere(secrets: Secrets, places: Readonly<Record<string, string>>): void {
  assert.ok(Object.keys(secrets).length > 0 && Object.keys(places).length > 0);
  const seen: string[] = [];
  for (const [name, secret] of Object.entries(secrets)) {
    const forms = formsOf(secret);
    assert.ok(forms.length > 0, `${name} is too short to be looked for`);
    for (const [place, text] of Object.entries(places)) {
      const found = forms.find((form) => text.includes(form));
      if (found === undefined) continue;
      const at = text.indexOf(found);
      seen.push(`${name} is in ${place}, behind: ${text.slice(Math.max(0, at - 200), at)}`);
    }
  }
  assert.deepEqual(seen, []);
}
