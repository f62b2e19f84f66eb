// A load balancer by TCP, as docs/replicas.md asks for one: it looks at `/readyz` of each broker each second, and gives a new connection to
// the next one that is ready. What is said on a connection it does not see.

import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { listenAnywhere } from './ports.ts';

/** Milliseconds. */
const [LOOK_EVERY, LOOK_FOR] = [1_000, 1_000];

export interface Balancer {
  readonly url: string;
  /** Where it sends connections at the moment. */
  readonly ready: readonly string[];
  stop(): Promise<void>;
}

/** @param urls where brokers listen at the moment, ready or not @param ca PEM of that of their certificate: then it is https, also through this */
export async function startBalancer(urls: () => readonly string[], ca?: string): Promise<Balancer> {
  const dispatcher = new Agent({ pipelining: 0, connect: { ...(ca !== undefined && { ca }) } });
  let ready: readonly string[] = [];
  let next = 0;
  let stopped = false;
  const sockets = new Set<Socket>();
  const isReady = (url: string) =>
    fetch(`${url}/readyz`, { signal: AbortSignal.timeout(LOOK_FOR), dispatcher }).then(
      async ({ ok, body }) => {
        await body?.cancel();
        return ok;
      },
      () => false,
    );
  const look = async () => {
    const all = await Promise.all(urls().map(async (url) => ((await isReady(url)) ? [url] : [])));
    ready = all.flat();
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    return socket;
  };
  /** What one does not take is given to the next. */
  const route = (client: Socket, tries: number) => {
    const url = ready[next++ % Math.max(1, ready.length)];
    if (url === undefined || tries === 0) return void client.destroy();
    const { hostname, port } = new URL(url);
    const broker = keep(connect(Number(port), hostname));
    const again = () => route(client, tries - 1);
    broker.once('error', again);
    broker.once('connect', () => {
      broker.off('error', again);
      client.pipe(broker).pipe(client);
      client.once('close', () => broker.destroy());
      broker.once('close', () => client.destroySoon());
    });
  };
  const server = createServer((client) => route(keep(client), 3));
  const port = await listenAnywhere(server);
  await look();
  const looking = (async () => {
    while (!stopped) {
      await sleep(LOOK_EVERY);
      await look();
    }
  })();
  return {
    url: `${ca === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    get ready() {
      return ready;
    },
    async stop() {
      stopped = true;
      await looking;
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      await dispatcher.destroy();
    },
  };
}
