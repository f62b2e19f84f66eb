// In a network namespace of its own: the rendered table of nftables, an application, and people who use it. Prints what became of each.
// Its arguments: `nft`, the file of the table, the port of the application.

import { execFileSync, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../patience.ts';
import { openStream, type Stream, startApp } from './app.ts';

const [nft = '', file = '', port_text = ''] = process.argv.slice(2);
const port = Number(port_text);
const host = 'orders.example.com';

/** What is told of one of them, in milliseconds since it was open. */
export interface Told {
  readonly ended: number | undefined;
  readonly longest_pause: number;
}
export type NodeTale = Readonly<Record<'rests' | 'talks' | 'forges' | 'deleted' | 'shortened', Told>>;

/** Long enough for what rests to be forgotten. */
const REST_MS = 4_000;
/** The timeout of its own that an element gets. */
export const SHORTENED_S = 2;

async function main(): Promise<NodeTale> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  execFileSync(nft, ['-f', file]);
  const app = await startApp('127.0.0.1', port);
  const open = (does: 'rest' | 'talk') => openStream({ port, host, does });
  const [rests, talks, forges, deleted, shortened] = await Promise.all([
    open('rest'),
    open('talk'),
    open('talk'),
    open('talk'),
    open('talk'),
  ]);
  const element = (stream: Stream) => `{ 127.0.0.1 . ${stream.local_port} }`;
  const forger = spawn('python3', ['-c', FORGER, String(forges.local_port), String(port)], { stdio: 'inherit' });
  const timed = `{ 127.0.0.1 . ${shortened.local_port} timeout ${SHORTENED_S}s }`;
  // Both at once: a packet between them would find no element.
  const input = `delete element inet curfew age4 ${element(shortened)}\nadd element inet curfew age4 ${timed}\n`;
  execFileSync(nft, ['-f', '-'], { input });
  execFileSync(nft, ['delete', 'element', 'inet', 'curfew', 'age4', element(deleted)]);
  // Nothing is sent to whoever rests: the next byte finds it cut.
  await until(() => rests.age() > REST_MS, 'time stands still');
  const streams = { rests, talks, forges, deleted, shortened };
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(100)) {
    if (rests.ended === undefined) rests.say();
    if (Object.values(streams).every(({ ended }) => ended !== undefined)) break;
  }
  forger.kill();
  app.close();
  const tell = ({ ended, longest_pause }: Stream): Told => ({ ended, longest_pause });
  return Object.fromEntries(Object.entries(streams).map(([name, stream]) => [name, tell(stream)])) as NodeTale;
}

/** Sends a SYN for a connection that is open, over and over, as its own machine could. */
const FORGER = `
import socket, struct, sys, time
sport, dport = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
src = dst = socket.inet_aton('127.0.0.1')
def total(data):
    n = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    n = (n >> 16) + (n & 0xffff)
    return ~(n + (n >> 16)) & 0xffff
head = struct.pack('!HHLLBBHHH', sport, dport, 12345, 0, 5 << 4, 2, 1024, 0, 0)
check = total(src + dst + struct.pack('!BBH', 0, 6, len(head)) + head)
head = head[:16] + struct.pack('!H', check) + head[18:]
while True:
    s.sendto(head, ('127.0.0.1', 0))
    time.sleep(0.01)
`;

if (import.meta.main) process.stdout.write(JSON.stringify(await main()), () => process.exit(0));
