// Whether the gateway of targets takes what a key has signed: shown as a person shows it, but without a proof of any key. So nothing is opened,
// and all that it says is whether it knows the token.

import { randomBytes } from 'node:crypto';
import { request } from 'node:https';
import { parseJson } from '../../shared/json.ts';
import { CONNECT_PROTOCOL, connectUrl } from '../../shared/targets.ts';
import { plus, type Seconds } from '../../shared/time.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import { isObject } from '../../shared/wire.ts';
import { sayFailure } from '../api_servers/failure.ts';
import type { Taken } from '../api_servers/probe.ts';
import type { Config } from '../config/settings.ts';
import type { TargetGateway, TargetSettings } from '../config/target_settings.ts';
import type { SigningKey } from '../tokens/keys.ts';
import { signTargetToken } from '../tokens/mint.ts';
import { PROBE_USER } from '../tokens/probe_token.ts';

const TOTAL_MS = 4_000;

/** Of nobody, and bound to no key that there is. */
export function targetProbe(
  { issuer }: Pick<Config, 'issuer'>,
  { name, audience }: TargetSettings,
  signing: Pick<SigningKey, 'kid' | 'key'>,
  now: Seconds,
  length: Seconds,
): string {
  return signTargetToken(
    { signing },
    {
      ...{ iss: issuer, aud: audience, sub: PROBE_USER, username: PROBE_USER, sid: PROBE_USER, target: name },
      ...{ jti: randomBytes(16).toString('base64url'), cnf: { jkt: randomBytes(32).toString('base64url') } },
      ...{ iat: now, nbf: now, exp: plus(now, length) },
    },
  );
}

export async function takesTargetToken(
  { url, ca }: Pick<TargetGateway, 'url' | 'ca'>,
  { name }: TargetSettings,
  token: string,
): Promise<Taken> {
  try {
    const { status, code } = await ask(connectUrl(url, name).replace(/^wss:/, 'https:'), ca, token);
    // What is wrong with the proof is said of tokens that are good.
    if (status === 401) return { taken: code === 'proof_invalid' };
    return { away: `answered HTTP ${status}` };
  } catch (error) {
    return { away: sayFailure(error) };
  }
}

interface Answer {
  readonly status: number;
  readonly code: unknown;
}

function ask(url: string, ca: string | undefined, token: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...{ authorization: `DPoP ${token}`, dpop: 'none' },
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      'sec-websocket-key': randomBytes(16).toString('base64'),
      'sec-websocket-protocol': CONNECT_PROTOCOL,
    };
    // Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing.
    const asked = request(url, {
      ...{ ...STRONG_TLS, rejectUnauthorized: true, ...(ca !== undefined && { ca }) },
      ...{ headers, agent: false, signal: AbortSignal.timeout(TOTAL_MS) },
    });
    asked.on('error', reject);
    asked.on('upgrade', (_response, socket) => {
      socket.destroy();
      reject(new Error('it opened a connection for nobody'));
    });
    asked.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (chunk: string) => {
        if (text.length < LARGEST_ANSWER) text += chunk;
      });
      response.on('end', () => {
        const body = parseJson(text);
        resolve({ status: response.statusCode ?? 0, code: isObject(body) ? body.code : undefined });
      });
    });
    asked.end();
  });
}

const LARGEST_ANSWER = 4_096;
