// One connection to a target: a pass, then a WebSocket with it; and what its end means for whoever asked.

import { setTimeout as pause } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { CurfewError } from '../../shared/errors.ts';
import { over } from '../../shared/time.ts';
import { countdown } from '../host/countdown.ts';
import type { Client } from '../session/client.ts';
import { targetNamed } from '../session/known_targets.ts';
import { readRecord } from '../session/record.ts';
import { keepEnd, OVER_REASONS } from '../session/renew.ts';
import { oneLine } from '../warm/one_line.ts';
import { CALL_PATIENCE_MS } from '../wire/patience.ts';
import { openLink } from './link.ts';
import type { Pass, PassRequest } from './pass.ts';
import { type Asked, passOrLogin } from './pass_or_login.ts';
import type { End } from './pump.ts';
import { errorOf, refusedBy } from './words.ts';

export interface Dialled {
  readonly socket: WebSocket;
  readonly pass: Pass;
}

/**
 * Opens a connection. A gateway that has no room, or stops, is asked again when it says so, each time with another pass; one that is not
 * where it was known to be is looked up again.
 *
 * @param first a pass that is there already, for the first try
 * @throws CurfewError
 */
export async function dial(client: Client, request: PassRequest, asked: Asked, first?: Pass): Promise<Dialled> {
  const left = countdown(CALL_PATIENCE_MS, client.host);
  let looked = false;
  const unused = first && !over(first.until, client.host.now()) ? first : undefined;
  for (let pass = unused; ; pass = undefined) {
    pass ??= await passOrLogin(client, request, asked);
    try {
      return { pass, socket: await openLink(client, pass) };
    } catch (error) {
      if (!(error instanceof CurfewError)) throw error;
      const wait = error.retry_after === undefined ? undefined : Math.max(0.5, error.retry_after) * 1000;
      if (wait !== undefined && wait <= left()) await pause(wait);
      else if (wait === undefined && error.code === 'unavailable' && !looked && (await hasMoved(client, pass)))
        looked = true;
      else throw error;
    }
  }
}

async function hasMoved(client: Client, { target: before }: Pass): Promise<boolean> {
  const { url, certificate_authority_data } = await targetNamed(client, before.name, true);
  return url !== before.url || certificate_authority_data !== before.certificate_authority_data;
}

/** @returns nothing where it ended as connections do */
export function faultOfEnd(client: Client, { target, session }: Pass, end: End): CurfewError | undefined {
  const name = oneLine(target.name);
  switch (end.how) {
    case 'done':
      return undefined;
    case 'ended': {
      const refused = refusedBy(end);
      const record = readRecord(client.host, client.url);
      if (OVER_REASONS.includes(refused.reason) && record?.session?.sid === session.sid)
        keepEnd(client, record, refused);
      return errorOf(client, end, `the connection to ${name} was closed: `);
    }
    case 'again':
      return errorOf(client, end, `the connection to ${name} was closed: `);
    case 'target':
      return new CurfewError('unavailable', `${name}: ${end.message}`, {
        hint: 'try again; else ask who runs it, or the gateway',
      });
    case 'broken':
      return new CurfewError(
        'unavailable',
        `the connection to the gateway at ${oneLine(new URL(target.url).host)} broke off`,
      );
  }
}
