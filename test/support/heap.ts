// What a Node.js process holds once its garbage is collected: asked by its inspector, which SIGUSR1 opens on the loopback.

import { until } from './patience.ts';

/** Of a process that is told no other. */
const INSPECTOR_PORT = 9229;

/** For the environment of a process: where its inspector opens, once it is asked for. */
export const inspectedAt = (port: number) => ({ NODE_OPTIONS: `--inspect-port=127.0.0.1:${port}` });

/** @returns bytes of the heap that are in use after a collection, and of what buffers hold beside it */
export async function heapOf(pid: number, port = INSPECTOR_PORT): Promise<number> {
  process.kill(pid, 'SIGUSR1');
  const list = `http://127.0.0.1:${port}/json/list`;
  const ask = () => fetch(list).then((answer) => answer.json() as Promise<{ webSocketDebuggerUrl: string }[]>);
  let targets: { webSocketDebuggerUrl: string }[] = [];
  await until(async () => {
    targets = await ask().catch(() => []);
    return targets.length > 0;
  }, 'the inspector of the process does not answer');
  const socket = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '');
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  try {
    await call(socket, 1, 'HeapProfiler.collectGarbage');
    const expression = '{ const { heapUsed, external } = process.memoryUsage(); heapUsed + external }';
    const { result } = (await call(socket, 2, 'Runtime.evaluate', { expression })) as { result: { value: number } };
    return result.value;
  } finally {
    socket.close();
  }
}

function call(socket: WebSocket, id: number, method: string, params: object = {}): Promise<unknown> {
  return new Promise((resolve) => {
    const listen = ({ data }: MessageEvent) => {
      const answer = JSON.parse(String(data)) as { readonly id?: number; readonly result?: unknown };
      if (answer.id !== id) return;
      socket.removeEventListener('message', listen);
      resolve(answer.result);
    };
    socket.addEventListener('message', listen);
    socket.send(JSON.stringify({ id, method, params }));
  });
}
