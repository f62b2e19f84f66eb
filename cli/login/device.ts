// The way by a code that is typed anywhere else (RFC 8628).

import { renderUnicodeCompact } from 'uqr';
import { CurfewError } from '../../shared/errors.ts';
import { faultOfUrl } from '../../shared/origin.ts';
import type { Host } from '../host/host.ts';
import { isUnicode, whileWaiting } from '../host/waiting.ts';
import { oneLine } from '../warm/one_line.ts';
import type { IdentityProvider } from '../wire/identity_provider.ts';
import { LOGIN_DEADLINE_MS, type Way } from './way.ts';

/** Seen on paper, and through a camera: with its border of two modules. */
const QR = { border: 2 } as const;

/**
 * Shows the address and the code, and polls (RFC 8628 sections 3.3 and 3.4).
 *
 * @param instead for a login that the identity provider has to ask the person for
 */
export function openDeviceWay(
  host: Pick<Host, 'env' | 'platform' | 'say' | 'show' | 'size' | 'status' | 'stopwatch'>,
  provider: IdentityProvider,
  instead: Way | undefined,
): Way {
  return {
    // RFC 8628 knows neither `prompt` nor `max_age` nor `acr_values`: Keycloak ignores them.
    can_ask_again: false,
    instead,
    async bring(ask, signal) {
      const device = await provider.device(ask);
      const deadline = Math.min(LOGIN_DEADLINE_MS, device.expires_in * 1000);
      const { verification_uri, verification_uri_complete, user_code } = device;
      show(host, verification_uri, user_code, verification_uri_complete);
      const polling = device.poll(AbortSignal.any([signal, AbortSignal.timeout(deadline)]));
      const brought = await whileWaiting(host, 'the login with this code', deadline, polling, signal);
      return { ...brought, tell: async () => undefined };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function show(
  host: Pick<Host, 'env' | 'platform' | 'say' | 'show' | 'size'>,
  uri: string,
  code: string,
  complete: string | undefined,
): void {
  for (const address of [uri, complete]) {
    if (address === undefined || faultOfUrl(address.split('?', 1)[0] ?? '') === undefined) continue;
    throw new CurfewError('insecure', `the identity provider's verification address ${oneLine(address)} is not https`);
  }
  host.say(`log in at: ${oneLine(uri)}`);
  host.say(`with the code: ${oneLine(code)}`);
  const drawing = complete === undefined ? undefined : drawingThatFits(host, complete);
  if (drawing !== undefined) host.show(drawing);
}

/** What is above and below it must stay in sight. */
function drawingThatFits(host: Pick<Host, 'env' | 'platform' | 'size'>, text: string): string | undefined {
  const size = host.size();
  if (!size || !isUnicode(host)) return undefined;
  const drawing = renderUnicodeCompact(text, QR);
  const lines = drawing.split('\n');
  const fits = lines.length + 6 <= size.rows && [...(lines[0] ?? '')].length <= size.columns;
  return fits ? `${drawing}\n` : undefined;
}
