// A program: what stands for a target. Whoever connects says in a line how many MiB are to come; it sends so many, takes so many and says
// that it has them, or does nothing. It writes its port to stdout, and ends with its stdin.

import { type AddressInfo, createServer, type Socket } from 'node:net';

const MIB = 1024 * 1024;
const PART = Buffer.alloc(MIB / 4, 'x');

async function send(socket: Socket, mib: number): Promise<void> {
  for (let i = 0; i < mib * 4 && !socket.destroyed; i++)
    if (!socket.write(PART)) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
  socket.end();
}

function take(socket: Socket, bytes: number): void {
  let left = bytes;
  socket.on('data', (chunk) => {
    left -= chunk.length;
    if (left <= 0) socket.end('done');
  });
}

const server = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', (bytes) => {
    const end = bytes.indexOf('\n') + 1;
    const [, what, mib] = /^(send|take) (\d+)\n$/.exec(bytes.toString('latin1', 0, end)) ?? [];
    if (what === 'send') void send(socket, Number(mib));
    else if (what === 'take') take(socket, Number(mib) * MIB - (bytes.length - end));
    socket.resume();
  });
});
server.listen(0, '127.0.0.1', 4_096, () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
