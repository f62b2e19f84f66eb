// Between a broker and a PostgreSQL that it speaks to in plain: a test is told before a statement arrives, or after it was answered, and nothing of
// that passes on until the test is done.

import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { listenAnywhere } from './ports.ts';

export type Moment = 'before' | 'after';

export interface StatementGate {
  readonly port: number;
  /** Once: when a statement with these words passes. Both sides are cut when it is done. */
  at(moment: Moment, words: string, work: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

interface Watch {
  readonly moment: Moment;
  readonly words: string;
  readonly work: () => Promise<void>;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

export async function startStatementGate(to: number): Promise<StatementGate> {
  let watch: Watch | undefined;
  const sockets = new Set<Socket>();
  const take = (moment: Moment, text: string): Watch | undefined => {
    if (watch?.moment !== moment || !text.includes(watch.words)) return undefined;
    const taken = watch;
    watch = undefined;
    return taken;
  };
  const server = createServer((near) => {
    const far = connectSocket(to, '127.0.0.1');
    const both = [near, far];
    let held: Watch | undefined;
    const cut = () => {
      for (const socket of both) socket.destroy();
    };
    const run = ({ work, done, failed }: Watch) => work().then(done, failed).finally(cut);
    for (const socket of both) {
      sockets.add(socket);
      socket.on('error', cut);
      socket.on('close', () => {
        sockets.delete(socket);
        cut();
      });
    }
    near.on('data', (bytes) => {
      const text = bytes.toString('latin1');
      const now = take('before', text);
      if (now) {
        near.pause();
        void run(now);
        return;
      }
      held ??= take('after', text);
      far.write(bytes);
    });
    far.on('data', (bytes) => {
      if (!held) {
        near.write(bytes);
        return;
      }
      far.pause();
      const taken = held;
      held = undefined;
      void run(taken);
    });
  });
  const port = await listenAnywhere(server);
  return {
    port,
    at: (moment, words, work) =>
      new Promise((done, failed) => {
        watch = { moment, words, work, done, failed };
      }),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
