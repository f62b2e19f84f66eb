// Where a request comes from: the socket's address, or what proxies that are trusted say of it in `X-Forwarded-For`. Always an
// address, in its one spelling: rules judge by it, failures are counted by it, and the audit log shows it.

import { isIP } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { plainSpelling } from '../../serving/net/address.ts';
import { inNetwork } from '../net/network.ts';

/** RFC 4291 2.5.2, the absence of an address: of a socket that is closed already. */
const NONE = '::';
/** Longer is no address: an IPv6 one in brackets, in quotes, with its zone and a port. */
const LONGEST_HOP = 100;

/**
 * From the nearest hop on, as far as each was written by a peer that is trusted. What is not an address is nobody's word for the
 * client: the nearest address that is known stays.
 *
 * @param peer the socket's own address
 * @param forwarded the values of `X-Forwarded-For`, joined as HTTP joins them
 * @param trusted addresses and blocks of addresses
 */
export function clientAddress(peer: string | undefined, forwarded: string, trusted: readonly string[]): string {
  let address = addressOf(peer ?? '') ?? NONE;
  if (trusted.length === 0 || forwarded === '') return address;
  for (let end = forwarded.length; end >= 0 && isTrusted(address, trusted); ) {
    const begin = forwarded.lastIndexOf(',', end - 1) + 1;
    const hop = addressOfHop(forwarded.slice(begin, end));
    if (hop === undefined) break;
    address = hop;
    end = begin - 1;
  }
  return address;
}

function isTrusted(address: string, trusted: readonly string[]): boolean {
  return trusted.some((network) => inNetwork(address, network));
}

/** `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5678`, each also in quotes. */
function addressOfHop(given: string): string | undefined {
  if (given.length > LONGEST_HOP) return undefined;
  const text = given.trim().replace(/^"(.*)"$/, '$1');
  const [, inBrackets] = /^\[([^\]]*)\](?::[0-9]{1,5})?$/.exec(text) ?? [];
  if (inBrackets !== undefined) return isIP(inBrackets) === 6 ? addressOf(inBrackets) : undefined;
  const [, withPort] = /^([0-9.]+):[0-9]{1,5}$/.exec(text) ?? [];
  return addressOf(withPort ?? text);
}

/** In its one spelling, without the zone, which says nothing elsewhere. */
function addressOf(text: string): string | undefined {
  return isIP(text) === 0 ? undefined : plainSpelling(text);
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Where it comes from. Fastify's own `ip` knows nothing of proxies here. */
    readonly address: string;
  }
}

/** Lets each request to this server tell its `address`. @param trusted proxies */
export function tellAddresses(app: FastifyInstance, trusted: readonly string[]): void {
  app.decorateRequest('address', {
    getter() {
      const { 'x-forwarded-for': forwarded = '' } = this.headers;
      const text = typeof forwarded === 'string' ? forwarded : forwarded.join(',');
      return clientAddress(this.socket.remoteAddress, text, trusted);
    },
  });
}
