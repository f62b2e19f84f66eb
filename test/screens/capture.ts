// What a person sees: the real programs at a real terminal, read off its screen. What differs from run to run is made the same.

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import xterm from '@xterm/headless';
import { CookieJar } from 'tough-cookie';
import { type Mode, visit } from '../support/browser_visit.ts';
import { enterCode } from '../support/device_visit.ts';
import { addressLeftAt, makeRecorder, type Recorder } from '../support/elsewhere.ts';
import type { Person } from '../support/person.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { startWorld, type World } from '../support/world.ts';

export interface Screen {
  readonly title: string;
  /** What it shows, in a sentence or two. */
  readonly says: string;
  readonly lines: readonly string[];
}

const COLUMNS = 110;
const AFTER = '(and after the login, in place of the last line)';
const ALICE = { user: 'alice', password: 'wonderland', otp: '' };
const POLICY = {
  limits: { max_age: '8h', inactivity_timeout: '8h', token_ttl: '5m' },
  segments: [{ name: 'production', match: { clusters: ['dev'] }, limits: { max_age: '15m' } }],
};
/** As over SSH: no browser here. */
const REMOTE = { BROWSER: undefined, SSH_CONNECTION: '192.0.2.7 50022 192.0.2.8 22' };

export interface Capture {
  readonly screens: readonly Screen[];
  /** What stands for what differs from run to run. */
  readonly replace: readonly (readonly [string, string])[];
}

export async function captureScreens(log: (line: string) => void): Promise<Capture> {
  const identityProvider = { device_grant: true };
  const world = await startWorld({ policy: POLICY, identityProvider, idp: { device_grant: true }, kwok: false, log });
  try {
    const desk = new Desk(world, await world.person('alice'));
    const screens: Screen[] = [];
    for (const scene of SCENES) {
      log(`screen: ${scene.title}`);
      screens.push({ title: scene.title, says: scene.says, lines: await scene.play(desk) });
    }
    const replace = [
      [world.brokerUrl, 'https://curfew.example.com'],
      [new URL(world.brokerUrl).host, 'curfew.example.com'],
      [encodeURIComponent(world.brokerUrl), encodeURIComponent('https://curfew.example.com')],
      [world.idp.issuer, 'https://idp.example.com'],
      [new URL(world.idp.issuer).host, 'idp.example.com'],
      [desk.person.dir, '/home/alice'],
      [world.authority.caFile, '/home/alice/curfew-ca.crt'],
      [world.plane.server, 'https://dev.example.com:6443'],
    ] as const;
    return { screens, replace };
  } finally {
    await world.stop();
  }
}

interface Scene {
  readonly title: string;
  readonly says: string;
  play(desk: Desk): Promise<readonly string[]>;
}

const SCENES: readonly Scene[] = [
  {
    title: 'What setting up would change',
    says: 'Nothing is written. In a file that is there nothing of others is shown.',
    async play(desk) {
      const { brokerUrl, authority } = desk.world;
      const args = ['setup', '--broker', brokerUrl, '--ca-file', authority.caFile, '--dry-run'];
      return await desk.show('kubectl-curfew setup --broker https://curfew.example.com --dry-run', desk.curfew(args));
    },
  },
  {
    title: 'Setting up',
    says: 'Once for each machine.',
    async play(desk) {
      const { brokerUrl, authority } = desk.world;
      const args = ['setup', '--broker', brokerUrl, '--ca-file', authority.caFile];
      return await desk.show('kubectl-curfew setup --broker https://curfew.example.com', desk.curfew(args));
    },
  },
  {
    title: 'The first call',
    says: 'At a desktop the browser opens by itself. While it waits, one line says for what and how long still; here it is caught before the login.',
    async play(desk) {
      const pty = desk.kubectl(['get', 'namespaces'], { BROWSER: desk.recorder.command });
      await pty.waitFor('waiting for');
      const before = await screenOf(pty);
      await visit(await desk.recorder.address(), ALICE, 'login', new CookieJar(), () => undefined);
      return ['$ kubectl get namespaces', ...before, '', AFTER, ...(await desk.rest(pty, before))];
    },
  },
  {
    title: 'The next calls',
    says: 'Nothing is said, and nobody is asked.',
    play: (desk) => desk.show('kubectl get namespaces', desk.kubectl(['get', 'namespaces'])),
  },
  {
    title: 'Five minutes before the end',
    says: 'Said once, at a terminal.',
    async play(desk) {
      await desk.loginAged(630);
      return await desk.show('kubectl get namespaces', desk.kubectl(['get', 'namespaces']));
    },
  },
  {
    title: 'A login that is too old for this cluster',
    says: 'Its limit is 15 minutes; other clusters continue. At a terminal the person logs in right there.',
    async play(desk) {
      await desk.loginAged(18 * 60);
      desk.world.idp.setAuthTimeOffset(null, 0);
      return await desk.show('kubectl get namespaces', desk.kubectl(['get', 'namespaces']));
    },
  },
  {
    title: 'The same in a script',
    says: 'Nobody can be asked: one error, one hint, at once and without network. The last line is kubectl’s own.',
    async play(desk) {
      await desk.loginAged(18 * 60);
      desk.world.idp.setAuthTimeOffset(null, 0);
      const pty = desk.shell(`'${desk.world.plane.kubectlPath}' get namespaces </dev/null`);
      return await desk.show('kubectl get namespaces </dev/null', pty);
    },
  },
  {
    title: 'By a code, over SSH',
    says: 'Where the identity provider has the device grant. The drawing is for a phone’s camera; it is left out where it does not fit.',
    async play(desk) {
      const pty = desk.curfew(['login'], REMOTE);
      const address = await pty.waitFor(/(?<=log in at: )\S+/);
      const code = await pty.waitFor(/(?<=with the code: )\S+/);
      await pty.waitFor('waiting for');
      const before = await screenOf(pty);
      await enterCode(address, code, ALICE);
      return ['$ kubectl curfew login', ...before, '', AFTER, ...(await desk.rest(pty, before))];
    },
  },
  {
    title: 'By a pasted address',
    says: 'Where there is no browser and no device grant: the login happens in any browser, whose last address is brought back. What is pasted is not shown.',
    play: (desk) => pasted(desk, 'login'),
  },
  {
    title: 'A login that the identity provider refuses',
    says: 'In its own words.',
    play: (desk) => pasted(desk, 'deny'),
  },
  {
    title: 'Who, where, how long',
    says: 'And the same for a shell’s prompt.',
    async play(desk) {
      return [
        ...(await desk.show('kubectl curfew status', desk.curfew(['status']))),
        ...(await desk.show('kubectl curfew status --prompt', desk.curfew(['status', '--prompt']))),
      ];
    },
  },
  {
    title: 'Where something is not as it should be',
    says: 'What a call of kubectl needs, each looked at, with what to do; here the folder of the plugin is not in PATH.',
    async play(desk) {
      const PATH = path.dirname(desk.world.plane.kubectlPath);
      return await desk.show('kubectl-curfew doctor', desk.curfew(['doctor'], { PATH }));
    },
  },
  {
    title: 'Logged out',
    says: 'What follows is refused until the next login, without asking anybody.',
    async play(desk) {
      return [
        ...(await desk.show('kubectl curfew logout', desk.curfew(['logout']))),
        ...(await desk.show(
          'kubectl get namespaces </dev/null',
          desk.shell(`'${desk.world.plane.kubectlPath}' get namespaces </dev/null`),
        )),
      ];
    },
  },
  {
    title: 'What goes around sessions',
    says: 'Tokens and certificates that lie in kubeconfigs; what a machine uses is named, and left as it is. With --fix an entry becomes a session, after a question.',
    async play(desk) {
      const file = path.join(desk.person.dir, 'old');
      await writeFile(file, leftLying(desk.world.plane), { mode: 0o640 });
      const found = await desk.show('kubectl curfew audit kubeconfig old', desk.curfew(['audit', 'kubeconfig', file]));
      const fixing = desk.curfew(['audit', 'kubeconfig', file, '--fix']);
      await fixing.waitFor('[y/N]');
      const before = await screenOf(fixing);
      fixing.write('y\r');
      const question = before.findIndex((line) => line.includes('[y/N]'));
      const after = await desk.rest(fixing, before.slice(0, question));
      return [...found, '', '$ kubectl curfew audit kubeconfig old --fix', '(the same, and then)', ...after];
    },
  },
  {
    title: 'Taken away again',
    says: 'What setup wrote for this broker goes; what stays is said.',
    async play(desk) {
      const args = ['setup', '--broker', desk.world.brokerUrl, '--remove'];
      return await desk.show('kubectl-curfew setup --broker https://curfew.example.com --remove', desk.curfew(args));
    },
  },
];

/** A token of a person, and one of a pipeline. */
const leftLying = ({ server, caFile }: World['plane']) => `apiVersion: v1
kind: Config
clusters:
- cluster: {server: "${server}", certificate-authority: "${caFile}"}
  name: dev
contexts:
- context: {cluster: dev, user: alice}
  name: dev
- context: {cluster: dev, user: gitlab-ci}
  name: pipeline
users:
- name: alice
  user: {token: a-token-that-nobody-should-see}
- name: gitlab-ci
  user: {token: another-token-that-nobody-should-see}
`;

async function pasted(desk: Desk, mode: Mode): Promise<readonly string[]> {
  const pty = desk.curfew(['login', '--flow', 'paste'], REMOTE);
  const address = await pty.waitFor(/(?<=in any browser, at: )\S[\s\S]*?(?=\r\ncurfew)/);
  await pty.waitFor('the code in it: ');
  pty.write(`${await addressLeftAt(address.replace(/\s/g, ''), ALICE, mode)}\r`);
  return await desk.show('kubectl curfew login --flow paste', pty);
}

class Desk {
  readonly world: World;
  readonly person: Person;
  readonly recorder: Recorder;

  constructor(world: World, person: Person) {
    this.world = world;
    this.person = person;
    this.recorder = makeRecorder(person.dir);
  }

  private run(command: string, args: readonly string[], more: Readonly<Record<string, string | undefined>> = {}): Pty {
    // Of that version, whatever else this machine has.
    const PATH = `${path.dirname(this.world.plane.kubectlPath)}:${this.person.env.PATH}`;
    const env = { ...this.person.env, PATH, LANG: 'C.UTF-8', ...more };
    return runInPty(command, args, { env, cols: COLUMNS });
  }
  kubectl(args: readonly string[], more?: Readonly<Record<string, string | undefined>>): Pty {
    return this.run(this.world.plane.kubectlPath, args, more);
  }
  curfew(args: readonly string[], more?: Readonly<Record<string, string | undefined>>): Pty {
    return this.run(path.join(this.person.dir, 'bin/kubectl-curfew'), args, more);
  }
  shell(script: string): Pty {
    return this.run('/bin/sh', ['-c', script]);
  }

  async show(command: string, pty: Pty): Promise<readonly string[]> {
    return [`$ ${command}`, ...(await this.rest(pty))];
  }
  /** What stands there in the end; what stood there before, and still does, is left out. */
  async rest(pty: Pty, before: readonly string[] = []): Promise<readonly string[]> {
    await pty.exit;
    const lines = await screenOf(pty);
    const change = lines.findIndex((line, i) => line !== before[i]);
    return lines.slice(Math.max(0, change));
  }

  /** A session whose login was so long ago, good for the session's own limits. */
  async loginAged(seconds: number): Promise<void> {
    this.world.idp.setAuthTimeOffset(null, seconds);
    const { code, stderr } = await this.person.curfew(['login']);
    if (code !== 0) throw new Error(stderr);
  }
}

/** The screen as it stands, without the empty lines below. */
async function screenOf(pty: Pty): Promise<readonly string[]> {
  const terminal = new xterm.Terminal({ cols: COLUMNS, rows: 60, allowProposedApi: true });
  const written = Promise.withResolvers<void>();
  terminal.write(pty.output(), () => written.resolve());
  await written.promise;
  const { active } = terminal.buffer;
  const lines: string[] = [];
  for (let y = 0; y < active.length; y++) {
    const line = active.getLine(y);
    const text = line?.translateToString(true) ?? '';
    if (line?.isWrapped) lines.push(`${lines.pop() ?? ''}${text}`);
    else lines.push(text);
  }
  terminal.dispose();
  while (lines.at(-1) === '') lines.pop();
  return lines;
}
