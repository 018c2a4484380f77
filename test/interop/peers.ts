/** Programs over other TLS libraries, in `peers/`: those in C are compiled here, once for a test file. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run, ToolProcess } from '../support/process.ts';
import { projectRoot } from '../support/project.ts';
import { skipUnless, toolPath } from '../support/tools.ts';
import { authorityFile, folder, type LineServer, type Visit } from './support.ts';

const sources = join(projectRoot, 'test', 'interop', 'peers');
const includeFolders = ['/usr/include', '/usr/local/include', '/opt/homebrew/include'];

/** For `describe`: skips where there is no C compiler, or where this library's header is missing. */
export function skipUnlessLibrary(header: string): { skip?: string } {
  const hasHeader = includeFolders.some((path) => existsSync(join(path, header)));
  if (hasHeader || toolPath('gcc') === undefined || process.env.MAYFLY_REQUIRE_TOOLS === '1') {
    return skipUnless('gcc');
  }
  return { skip: `needs ${header}, not found on this machine (MAYFLY_REQUIRE_TOOLS=1 makes this a failure)` };
}

/** A client and a server over one library. */
export class Peer {
  readonly #program: string;
  readonly #running: ToolProcess[] = [];

  private constructor(program: string) {
    this.#program = program;
  }

  static async compile(name: string, libraries: readonly string[]): Promise<Peer> {
    const program = join(folder, name);
    const { code, text } = await run('gcc', ['-o', program, join(sources, `${name}.c`), ...libraries]);
    assert.equal(code, 0, text);
    return new Peer(program);
  }

  /** Its connections to our server, one after the other, each of which exchanges two lines; what it printed, and what we saw. */
  async visit(server: LineServer, count: number, ...args: string[]): Promise<{ text: string; visits: Visit[] }> {
    const { code, text } = await run(this.#program, [
      ...['client', `port=${server.port}`, `ca=${authorityFile}`, `visits=${count}`, ...args],
    ]);
    assert.equal(code, 0, text);
    const ends = text.match(/closed$/gm) ?? [];
    assert.equal(ends.length, count, text);
    assert.equal(text.match(/back came the line$/gm)?.length, 2 * count, text);
    const visits = Array.from({ length: count }, () => server.visit());
    for (const { closed, socket } of visits) {
      assert.equal(await closed, undefined);
      assert.equal(socket.truncated, false, 'the client sent close_notify');
    }
    return { text, visits };
  }

  /** A connection that must come to nothing; what the peer printed. */
  async refused(server: LineServer, ...args: string[]): Promise<string> {
    const arriving = ['client', `port=${server.port}`, `ca=${authorityFile}`, 'visits=1', ...args];
    const { text } = await run(this.#program, arriving);
    assert.match(text, /^failed/m);
    return text;
  }

  /** A server of its own that sends back what comes, one connection at a time. */
  async serve(
    { cert, key }: { cert: string; key: string },
    ...args: string[]
  ): Promise<{ port: number; tool: ToolProcess }> {
    const tool = new ToolProcess(this.#program, ['server', `cert=${cert}`, `key=${key}`, ...args]);
    this.#running.push(tool);
    await tool.until(/listening \d+/);
    return { port: Number(/listening (\d+)/.exec(tool.text)?.[1]), tool };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((tool) => tool.stop()));
  }
}

/** A process of Erlang, for any number of servers and visits. */
export class ErlangPeer {
  readonly #tool = new ToolProcess('escript', [join(sources, 'erlang.escript')]);
  #read = 0;

  /** The port of a server with these options, an Erlang list without its brackets. */
  async serve({ cert, key }: { cert: string; key: string }, options = ''): Promise<number> {
    const line = await this.#ask(
      `{serve, [{certfile, "${cert}"}, {keyfile, "${key}"}${more(options)}]}`,
      /listening .*\n/,
    );
    return Number(/\d+/.exec(line)?.[0]);
  }

  /** A connection of its own, `again` with the ticket that was kept last; the line that it prints. */
  async visit(port: number, options: string, steps: string, verb: 'visit' | 'again' = 'visit'): Promise<string> {
    const trust = `{cacertfile, "${authorityFile}"}, {verify, verify_peer}, {server_name_indication, "localhost"}`;
    return this.#ask(`{${verb}, ${port}, [${trust}${more(options)}], [${steps}]}`, /visit .*\n/);
  }

  /** What its servers printed. */
  get text(): string {
    return this.#tool.text;
  }

  async stop(): Promise<void> {
    await this.#tool.stop();
  }

  async #ask(command: string, answer: RegExp): Promise<string> {
    this.#tool.write(`${command}.\n`);
    await this.#tool.until(() => answer.test(this.#tool.text.slice(this.#read)));
    const [line] = answer.exec(this.#tool.text.slice(this.#read)) as RegExpExecArray;
    this.#read = this.#tool.text.length;
    return line.trim();
  }
}

function more(options: string): string {
  return options === '' ? '' : `, ${options}`;
}
