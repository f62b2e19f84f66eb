// The holder of a DPoP key, as a client of the broker over real HTTP: exchanges, renews, revokes, and misbehaves on request.

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomUUID,
  sign,
} from 'node:crypto';
import { GRANT, isRefusal, isTokenReply, type Refusal, TOKEN_TYPE, type TokenReply } from '../../shared/wire.ts';

export interface ProofOptions {
  readonly method?: string;
  readonly url?: string;
  readonly iat?: number;
  readonly nonce?: string;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface ApiRequest {
  readonly method?: 'GET' | 'DELETE';
  readonly path?: string;
  /** With its question mark. */
  readonly query?: string;
  /** The whole header, none when empty, or what is changed in it. */
  readonly proof?: string | ProofOptions;
  /** The whole header, none when empty. */
  readonly authorization?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
  /** Throws unless it was granted. */
  readonly granted: TokenReply;
  /** Throws unless it was refused in the wire's form. */
  readonly refused: Refusal;
}

export interface Target {
  /** Where the broker listens. */
  readonly url: string;
  /** What proofs must speak of. */
  readonly issuer: string;
  /** How requests are sent, where the broker's certificate is a test's own. */
  readonly send?: (url: string, init: RequestInit) => Promise<Response>;
}

export class Holder {
  readonly key: KeyObject;
  readonly jkt: string;
  readonly nonce_random = randomBytes(32).toString('base64url');
  readonly #jwk: object;
  readonly #broker: Target;
  /** The clock that proofs are made by, in seconds. */
  now: () => number;

  constructor(broker: Target, now: () => number = () => Math.floor(Date.now() / 1000)) {
    this.key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const { crv, kty, x, y } = createPublicKey(this.key).export({ format: 'jwk' });
    this.#jwk = { crv, kty, x, y };
    this.jkt = createHash('sha256').update(JSON.stringify(this.#jwk)).digest('base64url');
    this.#broker = broker;
    this.now = now;
  }

  /** What the ID token must carry as `nonce`. */
  get nonce(): string {
    return createHash('sha256').update(`${this.jkt}.${this.nonce_random}`).digest('base64url');
  }

  proof({
    method = 'POST',
    url = `${this.#broker.issuer}/token`,
    iat = this.now(),
    ...more
  }: ProofOptions = {}): string {
    const header = { alg: 'ES256', typ: 'dpop+jwt', jwk: this.#jwk, ...more.header };
    const claims = {
      jti: randomUUID(),
      htm: method,
      htu: url,
      iat,
      ...(more.nonce && { nonce: more.nonce }),
      ...more.claims,
    };
    const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(signed), { key: this.key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  exchange(
    idToken: string,
    fields: Readonly<Record<string, string>> = {},
    proof: string | undefined = this.proof(),
  ): Promise<Answer> {
    const form = { grant_type: GRANT.exchange, subject_token: idToken, subject_token_type: TOKEN_TYPE.id_token };
    return this.post('/token', { ...form, client_id: 'curfew', nonce_random: this.nonce_random, ...fields }, proof);
  }

  renew(
    handle: string,
    audience: string,
    fields: Readonly<Record<string, string>> = {},
    proof: string | undefined = this.proof(),
  ): Promise<Answer> {
    return this.post('/token', { grant_type: GRANT.renewal, refresh_token: handle, audience, ...fields }, proof);
  }

  revoke(
    handle: string,
    proof: string | undefined = this.proof({ url: `${this.#broker.issuer}/revoke` }),
  ): Promise<Answer> {
    return this.post('/revoke', { token: handle }, proof);
  }

  introspect(
    token: string,
    proof: string | undefined = this.proof({ url: `${this.#broker.issuer}/introspect` }),
  ): Promise<Answer> {
    return this.post('/introspect', { token }, proof);
  }

  /**
   * Our own API: `/v1/sessions` with a path below it.
   *
   * @param proof what the proof says otherwise than it should
   */
  async api(handle: string, request: ApiRequest = {}): Promise<Answer> {
    const { method = 'GET', path = '', query = '', proof = {} } = request;
    const ath = createHash('sha256').update(handle).digest('base64url');
    const url = `${this.#broker.issuer}/v1/sessions${path}`;
    const dpop = typeof proof === 'string' ? proof : this.proof({ method, url, claims: { ath }, ...proof });
    const { authorization = `DPoP ${handle}` } = request;
    const headers = { ...(authorization !== '' && { authorization }), ...(dpop !== '' && { dpop }) };
    const { send = fetch } = this.#broker;
    return answerOf(await send(`${this.#broker.url}/v1/sessions${path}${query}`, { method, headers }));
  }

  async post(path: string, form: Readonly<Record<string, string>>, proof: string | undefined): Promise<Answer> {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      ...(proof !== undefined && { dpop: proof }),
    };
    const { url, send = fetch } = this.#broker;
    const response = await send(url + path, { method: 'POST', headers, body: new URLSearchParams(form) });
    return answerOf(response);
  }
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const body: unknown = text === '' ? undefined : JSON.parse(text);
  const { status, headers } = response;
  return {
    ...{ status, headers, body },
    get granted() {
      if (status !== 200 || !isTokenReply(body)) throw new Error(`not granted: ${status} ${text}`);
      return body;
    },
    get refused() {
      if (status === 200 || !isRefusal(body)) throw new Error(`not refused: ${status} ${text.slice(0, 200)}`);
      return body;
    },
  };
}

/** The claims of a token that the test trusts. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
}
