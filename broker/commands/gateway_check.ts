// What `check` says of a cluster's gateway: whether people reach it there, by a certificate that kubectl will believe.

import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { CurfewError } from '../../shared/errors.ts';
import { fromMilliseconds, type Seconds } from '../../shared/time.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import type { Cluster, GatewaySettings } from '../config/settings.ts';
import { error, type Finding, note, ok } from './finding.ts';
import { checkLapse } from './lapse.ts';

/** Milliseconds. */
const ANSWER_MS = 5_000;

/** @param now for the end of its certificate */
export async function checkGateway({ name, gateway, credential }: Cluster, now: Seconds): Promise<Finding[]> {
  if (!gateway) return [];
  const what = `cluster ${name}: the gateway at ${gateway.url}`;
  try {
    const socket = await shakeHands(gateway);
    const end = fromMilliseconds(Date.parse(socket.getPeerCertificate().valid_to));
    socket.destroy();
    return [
      ok(`${what} answers`),
      ...checkLapse(`cluster ${name}: gateway`, end, now),
      ...openWay(name, gateway, credential),
    ];
  } catch (fault) {
    if (!(fault instanceof CurfewError)) throw fault;
    return [error(`${what} ${fault.message}`, fault.code)];
  }
}

function openWay(name: string, { required }: GatewaySettings, credential: Cluster['credential']): Finding[] {
  if (required) return [];
  const too = credential === 'token' ? ', and set gateway.required: true' : '';
  const what = 'who reaches its API server directly walks around the gateway: close that way in the network';
  return [note(`cluster ${name}: ${what}${too}`)];
}

/** As kubectl does it: with an authority of its own it believes no other. @throws CurfewError `unavailable` or `configuration` */
function shakeHands({ url, ca }: GatewaySettings): Promise<TLSSocket> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...STRONG_TLS,
      ...{ host, port: port === '' ? 443 : Number(port), timeout: ANSWER_MS },
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca }),
    });
    const fail = (failure: CurfewError) => {
      socket.destroy();
      reject(failure);
    };
    socket.once('secureConnect', () => resolve(socket));
    socket.once('timeout', () => fail(new CurfewError('unavailable', `does not answer within ${ANSWER_MS / 1000}s`)));
    socket.once('error', (cause: Error & { readonly code?: string }) => {
      const { code = '' } = cause;
      const certificate = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code);
      fail(
        certificate
          ? new CurfewError('configuration', `has a certificate that kubectl will not believe (${code})`, { cause })
          : new CurfewError('unavailable', `cannot be reached${code === '' ? '' : ` (${code})`}`, { cause }),
      );
    });
  });
}
