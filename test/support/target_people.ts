// People of a test's broker who connect to targets: their sessions, tokens as the broker makes them, and what their gateway asks of them.

import { randomUUID } from 'node:crypto';
import { TARGET_TOKEN_TYP } from '../../shared/token_typ.ts';
import type { Holder } from './holder.ts';
import { ISSUER, type TestService } from './service.ts';
import { askConnection, type ConnectionAsked, forgedToken, type ProofShown, proofOf, targetToken } from './targets.ts';

export interface Somebody {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly sub: string;
  readonly username: string;
}

export class TargetPeople {
  readonly #service: TestService;
  #count = 0;

  constructor(service: TestService) {
    this.#service = service;
  }

  /** Somebody else than before, who logs in now. */
  async somebody(groups = ['dev', 'sre'], holder = this.#service.holder()): Promise<Somebody> {
    this.#count += 1;
    const sub = `p-${this.#count}`;
    return this.again({ holder, sub }, groups);
  }

  /** The same person with the same key, who logs in again. */
  async again({ holder, sub }: Pick<Somebody, 'holder' | 'sub'>, groups = ['dev', 'sre']): Promise<Somebody> {
    const { granted } = await this.#service.login(holder, { sub, email: `${sub}@example.com`, groups });
    const { session, refresh_token: handle = '' } = granted;
    return { holder, handle, sid: session.sid, sub, username: session.username };
  }

  /** Of a token for a target, as the broker makes them, but for what is changed. */
  claims({ sid, sub, username, holder }: Somebody, target: string, more: object = {}): object {
    const { now } = this.#service;
    return {
      ...{ iss: ISSUER, aud: target, sub, username, sid, jti: randomUUID() },
      ...{ iat: now, nbf: now, exp: now + 60, cnf: { jkt: holder.jkt }, target, ...more },
    };
  }

  token(of: Somebody, target: string, more: object = {}, typ: string = TARGET_TOKEN_TYP): string {
    return forgedToken(this.#service, this.claims(of, target, more), typ);
  }

  /** What somebody shows at the gateway. */
  shown(of: Somebody, target: string, more: object = {}, proof: Partial<ProofShown> = {}): ConnectionAsked {
    return { token: this.token(of, target, more), target, proof: proofOf(of.holder, proof) };
  }

  ask(asked: ConnectionAsked, bearer = this.#service.gateway_tokens.targets, url = this.#service.url) {
    return askConnection(url, bearer, asked);
  }

  /** With a token that the broker gave them for it. @returns the id of a connection that is open now */
  async connect(of: Somebody, target: string, account?: string): Promise<string> {
    const { holder, handle } = of;
    const { access_token: token } = await targetToken(holder, handle, target, account === undefined ? {} : { account });
    return (await this.ask({ token, target, proof: proofOf(holder) })).reply.connection;
  }
}
