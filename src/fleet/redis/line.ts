/**
 * One client of the library, for as long as it is wanted. The library's clients go on by themselves once they have
 * connected, but those of clusters and sentinels give up for good if the first attempt fails: then another one is made.
 */

/** What all three clients of the library have in common, as far as it is used here. */
export interface Client {
  connect(): Promise<unknown>;
  destroy(): void | Promise<void>;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  subscribe(channel: string, listener: () => void): Promise<unknown>;
}

export interface LineOptions<C extends Client> {
  readonly open: () => C;
  /** Called each time one has connected for the first time. What it throws goes to `onError`. */
  readonly onConnected?: (client: C) => unknown;
  readonly onError: (error: unknown) => void;
}

export class Line<C extends Client> {
  /** Resolves when the first attempt has an outcome. */
  readonly tried: Promise<void>;
  readonly #options: LineOptions<C>;
  #client: C;
  #isTried: () => void = () => {};
  #attempts = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(options: LineOptions<C>) {
    this.#options = options;
    this.tried = new Promise((resolve) => {
      this.#isTried = resolve;
    });
    this.#client = this.#connect();
  }

  get client(): C {
    return this.#client;
  }

  /** Leaves the client for a new one, which looks its name up anew. */
  renew(): void {
    if (!this.#ended) {
      clearTimeout(this.#timer);
      destroy(this.#client);
      this.#client = this.#connect();
    }
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#isTried();
    destroy(this.#client);
  }

  #connect(): C {
    const { open, onConnected, onError } = this.#options;
    const client = open();
    client.on('error', (error) => {
      // A single server's client tries again without end: `connect` says nothing of that.
      this.#isTried();
      onError(error);
    });
    const connected = async (): Promise<void> => {
      await client.connect();
      this.#isTried();
      if (this.#ended || client !== this.#client) {
        // One that is destroyed while it connects stays connected: it is destroyed once more.
        destroy(client);
        return;
      }
      await onConnected?.(client);
    };
    connected().catch((error) => {
      if (!this.#ended && client === this.#client) {
        onError(error);
        this.#isTried();
        this.#again(client);
      }
    });
    return client;
  }

  #again(failed: C): void {
    destroy(failed);
    this.#timer = setTimeout(
      () => {
        this.#client = this.#connect();
      },
      pauseAfter(this.#attempts++),
    );
    this.#timer.unref();
  }
}

/** Milliseconds between two attempts to connect. */
export function pauseAfter(attempts: number): number {
  return Math.min(50 * 2 ** Math.min(attempts, 6), MAX_PAUSE);
}

/** A client that was never connected cannot be destroyed either. */
function destroy(client: Client): void {
  try {
    Promise.resolve(client.destroy()).catch(() => {});
  } catch {
    // It is closed already.
  }
}

const MAX_PAUSE = 2_000;
