// Bytes through the gateway and back, by every way that kubectl has: `cp`, exec and port-forward, over WebSocket and SPDY. What arrives has
// the hash of what was sent.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { GatewayWorld } from './gateway_world.ts';
import type { Person } from './person.ts';
import { startRunning } from './running.ts';

const BLOCK = 2 ** 20;
const POD = ['-n', 'dev'];

export async function hashOf(from: Readable): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(from, hash);
  return hash.digest('hex');
}

/** @returns its hash */
async function writeRandom(file: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  const handle = await open(file, 'w');
  try {
    for (let left = bytes; left > 0; left -= BLOCK) {
      const block = randomBytes(Math.min(BLOCK, left));
      hash.update(block);
      await handle.write(block);
    }
  } finally {
    await handle.close();
  }
  return hash.digest('hex');
}

export interface Parcel {
  /** On the person's machine, which is that of the containers too. */
  readonly file: string;
  readonly hash: string;
}

export async function makeParcel(folder: string, bytes: number): Promise<Parcel> {
  const file = path.join(folder, `parcel-${bytes}`);
  return { file, hash: await writeRandom(file, bytes) };
}

export async function throughCp(world: GatewayWorld, person: Person, { file, hash }: Parcel, env: Env): Promise<void> {
  const there = path.join(world.containers, 'copied');
  const back = path.join(person.dir, 'copied-back');
  const up = await person.kubectl([...POD, 'cp', file, `pipes:${there}`], { env, timeout: MINUTES });
  assert.equal(up.code, 0, up.stderr);
  assert.equal(await hashOf(createReadStream(there)), hash);
  const down = await person.kubectl([...POD, 'cp', `pipes:${there}`, back], { env, timeout: MINUTES });
  assert.equal(down.code, 0, down.stderr);
  assert.equal(await hashOf(createReadStream(back)), hash);
}

export async function throughExec(
  world: GatewayWorld,
  person: Person,
  { file, hash }: Parcel,
  env: Env,
): Promise<void> {
  const run = (...command: readonly string[]) =>
    spawn(world.plane.kubectlPath, [...POD, 'exec', '-i', 'pipes', '--', ...command], {
      env: { ...person.env, ...env },
    });
  const up = run('sha256sum');
  up.stderr.pipe(process.stderr);
  const said = up.stdout.setEncoding('utf8').toArray();
  await pipeline(createReadStream(file), up.stdin);
  assert.equal((await said).join('').split(' ', 1)[0], hash);
  const down = run('cat', file);
  down.stdin.end();
  const [got, [code]] = await Promise.all([hashOf(down.stdout), once(down, 'exit')]);
  assert.deepEqual([got, code], [hash, 0]);
}

/** A server behind the pod: it tells the hash of what it got up to the end of the other side's sending, or sends the file. */
async function startServer({ file }: Parcel) {
  const server = createServer({ allowHalfOpen: true }, (socket) => void serve(socket).catch(() => socket.destroy()));
  const serve = async (socket: Socket) => {
    const [first] = (await once(socket, 'data')) as [Buffer];
    if (first[0] === 0x3c) return pipeline(createReadStream(file), socket);
    const hash = createHash('sha256').update(first.subarray(1));
    for await (const chunk of socket) hash.update(chunk as Buffer);
    socket.end(hash.digest('hex'));
    return undefined;
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  return { port, stop: () => void server.close() };
}

export async function throughForward(world: GatewayWorld, person: Person, parcel: Parcel, env: Env): Promise<void> {
  const server = await startServer(parcel);
  const forward = startRunning(world.plane.kubectlPath, [...POD, 'port-forward', 'pod/pipes', `:${server.port}`], {
    ...{ ...person.env, ...env },
  });
  try {
    await forward.says(/Forwarding from 127\.0\.0\.1:\d+/);
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(forward.stdout()) ?? [];
    const dial = () => connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
    const up = dial();
    up.write('>');
    const [said] = await Promise.all([up.toArray(), pipeline(createReadStream(parcel.file), up, { end: true })]);
    assert.equal(Buffer.concat(said as Buffer[]).toString(), parcel.hash);
    const down = dial();
    down.write('<');
    assert.equal(await hashOf(down), parcel.hash);
    down.destroy();
  } finally {
    await forward.kill();
    server.stop();
  }
}

type Env = Readonly<Record<string, string>>;
const MINUTES = 600_000;

/** By name: each way, and what makes kubectl take it. */
export const WAYS: Readonly<Record<string, (world: GatewayWorld, person: Person, parcel: Parcel) => Promise<void>>> =
  Object.fromEntries(
    [
      ['WebSocket', {}],
      ['SPDY', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }],
    ].flatMap(([over, env]) =>
      Object.entries({ cp: throughCp, exec: throughExec, 'port-forward': throughForward }).map(([name, way]) => [
        `${name} over ${over as string}`,
        (world: GatewayWorld, person: Person, parcel: Parcel) => way(world, person, parcel, env as Env),
      ]),
    ),
  );
