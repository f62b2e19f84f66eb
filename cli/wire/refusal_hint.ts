// What helps when the identity provider refuses: a login again, or a setting that only an administrator can change (RFC 6749
// sections 4.1.2.1 and 5.2, RFC 8628 section 3.5).

import type { Metadata } from '../../shared/metadata.ts';

const ADMINISTRATOR = 'ask who runs curfew-broker and the identity provider';

/**
 * @param error of the OAuth answer
 * @param description as it came, looked at for what `invalid_request` is about
 * @returns `undefined` where a login again may do
 */
export function hintOfRefusal(
  error: string,
  description: string | undefined,
  { client_id, client_secret, scopes, redirect_host }: Metadata['identity_provider'],
): string | undefined {
  const client = `the client ${client_id}`;
  // RFC 6749 leaves to the provider how it refuses a redirect URI.
  if (/redirect[_ ]?ur[il]/i.test(`${error} ${description ?? ''}`)) {
    return `${ADMINISTRATOR}: redirect_host (${redirect_host}) and redirect_ports must be registered for ${client}`;
  }
  switch (error) {
    case 'invalid_scope':
      return `${ADMINISTRATOR}: ${client} must be allowed each of identity_provider.scopes (${scopes.join(' ')})`;
    case 'invalid_client': {
      const secret = client_secret === undefined ? 'as a public client, without a secret' : 'with client_secret';
      return `${ADMINISTRATOR}: identity_provider.client_id (${client_id}) must be registered there, ${secret}`;
    }
    case 'unauthorized_client':
    case 'unsupported_grant_type':
    case 'unsupported_response_type':
    case 'unsupported_response_mode':
      return `${ADMINISTRATOR}: ${client} must be allowed the authorization code flow, and for --flow device the device grant`;
    case 'invalid_request':
    case 'invalid_target':
    case 'invalid_request_object':
    case 'request_not_supported':
    case 'request_uri_not_supported':
    case 'registration_not_supported':
    case 'unmet_authentication_requirements':
      return `${ADMINISTRATOR}: ${client} is set up there for other requests than ours`;
    default:
      return undefined;
  }
}
