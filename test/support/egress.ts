// How a test's kube-apiserver reaches pods and services, where it proxies to them: by CONNECT through a UNIX socket, as where they are in a
// network of their own (EgressSelectorConfiguration). Whatever address it asks for, what is there is a server of this machine.

import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import path from 'node:path';

export interface Egress {
  /** Of kube-apiserver. */
  readonly flags: readonly string[];
  /** What was asked for, as `address:port`, each once. */
  readonly asked: ReadonlySet<string>;
  stop(): Promise<void>;
}

/** @param folder a short path: a UNIX socket is in it */
export async function startEgress(folder: string): Promise<Egress> {
  const [udsName, file] = [path.join(folder, 'egress.sock'), path.join(folder, 'egress.yaml')];
  const asked = new Set<string>();
  const sockets = new Set<Socket>();
  const server = createServer();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('connect', (request, near: Socket) => {
    asked.add(request.url ?? '');
    const far = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1');
    far.once('connect', () => {
      near.write('HTTP/1.1 200 OK\r\n\r\n');
      near.pipe(far).pipe(near);
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => undefined).once('close', () => other.destroy());
  });
  server.listen(udsName);
  await once(server, 'listening');
  const connection = { proxyProtocol: 'HTTPConnect', transport: { uds: { udsName } } };
  const configuration = {
    ...{ apiVersion: 'apiserver.k8s.io/v1beta1', kind: 'EgressSelectorConfiguration' },
    egressSelections: [{ name: 'cluster', connection }],
  };
  await writeFile(file, JSON.stringify(configuration));
  return {
    ...{ flags: [`--egress-selector-config-file=${file}`], asked },
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await Promise.all([udsName, file].map((one) => rm(one, { force: true })));
    },
  };
}
