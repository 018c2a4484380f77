/**
 * Connections to one server that are opened at the same time: the first makes a full handshake, the others wait for its
 * tickets and resume. Browsers do not wait, and pay for several full handshakes where one would do.
 *
 * A server that gives no tickets is waited for once, and not again.
 */

/** Milliseconds that a connection waits at most, whatever goes on. */
const MAX_WAIT = 1_000;
/** Milliseconds that tickets may come behind a handshake: twice what it took, within these. */
const MIN_GRACE = 20;
const MAX_GRACE = 250;
/** Servers remembered for giving no tickets. */
const MAX_DRY = 1_000;

interface Line {
  /** Handshakes, and those whose tickets may still come. */
  underway: number;
  /** In the order in which they came. */
  readonly waiting: Set<Turn>;
}

export class HandshakeTurns {
  readonly #lines = new Map<string, Line>();
  readonly #dry = new Set<string>();

  /** @param key tells servers and policies apart, as in the session cache */
  enter(key: string): Turn {
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = { underway: 0, waiting: new Set() };
      this.#lines.set(key, line);
    }
    return new Turn(this, key, line);
  }

  /** A session of this server was stored: whoever waits may look for it. */
  sessionCame(key: string): void {
    this.#dry.delete(key);
    const line = this.#lines.get(key);
    if (line !== undefined) {
      wake(line);
    }
  }

  /** @internal */
  isDry(key: string): boolean {
    return this.#dry.has(key);
  }

  /** @internal A handshake is over, with what it brought, and those behind it have to do without. */
  gaveNothing(key: string): void {
    this.#dry.add(key);
    if (this.#dry.size > MAX_DRY) {
      this.#dry.delete(this.#dry.values().next().value as string);
    }
  }

  /** @internal */
  left(key: string, line: Line): void {
    if (line.underway === 0 && line.waiting.size === 0 && this.#lines.get(key) === line) {
      this.#lines.delete(key);
    }
  }
}

/** One connection's place in the line. */
export class Turn {
  readonly #turns: HandshakeTurns;
  readonly #key: string;
  readonly #line: Line;
  #go: (() => void) | undefined;
  #began = 0;
  #isUnderway = false;
  #gotSession = false;
  #mayWait = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(turns: HandshakeTurns, key: string, line: Line) {
    this.#turns = turns;
    this.#key = key;
    this.#line = line;
  }

  /** True where the handshake should wait: `go` is called when it is time to look again. Else it begins now. */
  waits(go: () => void): boolean {
    if (this.#mayWait && this.#line.underway > 0 && !this.#turns.isDry(this.#key)) {
      this.#go = go;
      this.#line.waiting.add(this);
      this.#timer ??= setTimeout(() => {
        this.#mayWait = false;
        this.wake();
      }, MAX_WAIT);
      return true;
    }
    this.begin();
    return false;
  }

  /** The handshake begins, waited for or not. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#line.waiting.delete(this);
    if (!this.#isUnderway) {
      this.#isUnderway = true;
      this.#line.underway++;
    }
    this.#began = performance.now();
  }

  /** This connection brought a session. */
  broughtSession(): void {
    this.#gotSession = true;
    this.#turns.sessionCame(this.#key);
  }

  /** The handshake is complete: its tickets may be on their way still. */
  complete(): void {
    const took = performance.now() - this.#began;
    const grace = Math.min(Math.max(2 * took, MIN_GRACE), MAX_GRACE);
    this.#timer = setTimeout(() => {
      if (!this.#gotSession) {
        this.#turns.gaveNothing(this.#key);
      }
      this.end();
    }, grace);
    this.#timer.unref();
  }

  /** The connection is over, or brings nothing more. Idempotent. */
  end(): void {
    clearTimeout(this.#timer);
    this.#go = undefined;
    this.#line.waiting.delete(this);
    if (this.#isUnderway) {
      this.#isUnderway = false;
      this.#line.underway--;
      wake(this.#line);
    }
    this.#turns.left(this.#key, this.#line);
  }

  /** @internal */
  wake(): void {
    const go = this.#go;
    this.#go = undefined;
    go?.();
  }
}

/** Each looks for itself, and waits on where there is nothing for it. */
function wake(line: Line): void {
  for (const turn of [...line.waiting]) {
    turn.wake();
  }
}
