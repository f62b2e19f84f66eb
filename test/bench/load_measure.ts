// Requests over kept-alive connections, each sent when the one before it on its connection was answered.

import { Client } from 'undici';

export interface Requests {
  readonly url: string;
  readonly ca?: string | undefined;
  readonly connections: number;
  readonly seconds: number;
  /** Sends one and returns its answer. */
  readonly send: (client: Client) => Promise<string>;
  /** Looks closely at one answer for each connection. @throws Error when it is not what is measured */
  readonly look: (text: string) => void;
}

/** Milliseconds of each request that was answered within the window, and of one core what this process used of it. */
export async function measure({ url, ca, connections, seconds, send, look }: Requests) {
  const clients = Array.from({ length: connections }, () => new Client(url, { connect: { ...(ca && { ca }) } }));
  const latencies: number[] = [];
  try {
    for (const text of await Promise.all(clients.map(send))) look(text);
    const cpu = process.cpuUsage();
    const end = performance.now() + seconds * 1000;
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < end) {
          const sent = performance.now();
          await send(client);
          const received = performance.now();
          if (received < end) latencies.push(received - sent);
        }
      }),
    );
    const { user, system } = process.cpuUsage(cpu);
    const client_cpu = (user + system) / 1e6 / seconds;
    return { per_second: latencies.length / seconds, latencies: Float64Array.from(latencies), client_cpu };
  } finally {
    await Promise.all(clients.map((client) => client.destroy()));
  }
}
