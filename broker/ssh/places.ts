// Blocks of addresses as sshd wants them: it takes none that does not begin where its block begins, and would refuse the whole certificate.

import { plainAddress } from '../../serving/net/address.ts';
import type { Some } from './certificate.ts';

/** @throws TypeError for what no configuration lets through */
export function placesOf(blocks: readonly string[]): Some<string> {
  const [first, ...rest] = blocks.map(placeOf);
  if (first === undefined) throw new TypeError('no addresses');
  return [first, ...rest];
}

function placeOf(block: string): string {
  const [base = '', bits] = block.split('/');
  const plain = plainAddress(base);
  if (!plain) throw new TypeError('not a block of addresses');
  const { family, address, mapped } = plain;
  if (bits === undefined) return address;
  const [width, size] = family === 4 ? [32, 8] : [128, 16];
  const prefix = Number(bits) - (mapped ? 96 : 0);
  const behind = BigInt(width - prefix);
  const start = (partsOf(family, address).reduce((sum, part) => (sum << BigInt(size)) | part, 0n) >> behind) << behind;
  const parts = Array.from(
    { length: width / size },
    (_, i) => (start >> BigInt(width - size * (i + 1))) % (1n << BigInt(size)),
  );
  const written = family === 4 ? parts.join('.') : parts.map((part) => part.toString(16)).join(':');
  return `${written}/${prefix}`;
}

function partsOf(family: 4 | 6, address: string): readonly bigint[] {
  if (family === 4) return address.split('.').map(BigInt);
  const [head = '', tail] = address.split('::').map((half) => half.split(':').filter((part) => part !== ''));
  const given = [...head, ...(tail ?? [])];
  const zeros = Array.from({ length: 8 - given.length }, () => '0');
  return [...head, ...zeros, ...(tail ?? [])].map((part) => BigInt(`0x${part}`));
}
