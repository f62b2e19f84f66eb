// The device grant (RFC 8628) as other providers have it, around the certified one: Keycloak can demand PKCE there, and heeds
// neither `max_age` nor `prompt`.
import { createHash } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';

export interface DeviceGrant {
  /** A request without a challenge is refused, and a code without its verifier brings no tokens (RFC 7636). */
  readonly pkce_required?: boolean | undefined;
  /** Whoever has a session there is asked for nothing, however old it is. */
  readonly ignores_age?: boolean | undefined;
}

type Middleware = (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void>;

export function deviceGrant({ pkce_required, ignores_age }: DeviceGrant): Middleware {
  const challenges = new Map<string, string>();
  const refuse = (ctx: KoaContextWithOIDC, error: string, error_description: string) => {
    ctx.status = 400;
    ctx.body = { error, error_description };
  };

  async function started(ctx: KoaContextWithOIDC, device_code: string): Promise<void> {
    const { code_challenge, code_challenge_method } = formOf(ctx);
    if (pkce_required && code_challenge_method === undefined) {
      return refuse(ctx, 'invalid_request', 'Missing parameter: code_challenge_method');
    }
    if (pkce_required && (code_challenge_method !== 'S256' || code_challenge === undefined)) {
      return refuse(ctx, 'invalid_request', 'Invalid parameter: code challenge method is not configured');
    }
    if (code_challenge !== undefined) challenges.set(device_code, code_challenge);
    const stored = ignores_age && (await ctx.oidc.provider.DeviceCode.find(device_code));
    if (!stored) return;
    const { max_age: _, prompt: __, ...params } = stored.params ?? {};
    stored.params = params;
    await stored.save();
  }

  function brought(ctx: KoaContextWithOIDC): void {
    const { device_code = '', code_verifier = '' } = formOf(ctx);
    const challenge = challenges.get(device_code);
    if (challenge === undefined) return;
    const proven = createHash('sha256').update(code_verifier).digest('base64url') === challenge;
    if (!proven) refuse(ctx, 'invalid_grant', 'PKCE verification failed');
  }

  return async (ctx, next) => {
    await next();
    const body = ctx.body as Readonly<Record<string, unknown>> | undefined;
    if (ctx.status !== 200 || typeof body !== 'object') return;
    if (typeof body.device_code === 'string') await started(ctx, body.device_code);
    else if (ctx.path === '/token') brought(ctx);
  };
}

function formOf({ oidc }: KoaContextWithOIDC): Readonly<Record<string, string | undefined>> {
  return (oidc.body ?? {}) as Readonly<Record<string, string | undefined>>;
}
