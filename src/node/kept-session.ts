/** The newest session of a client's socket: who owns it, and so who erases its secret. */

import type { ClientSession } from '../session/client-session.ts';

export class KeptSession {
  #newest: ClientSession | undefined;
  /** A cache has taken it over. */
  #taken = false;

  get newest(): ClientSession | undefined {
    return this.#newest;
  }

  /** One that `replace` will bring in a moment. */
  foresee(session: ClientSession): void {
    this.#newest = session;
  }

  /** False where there is a newer one. */
  keep(session: ClientSession): boolean {
    if (this.#newest !== undefined) {
      return false;
    }
    this.#newest = session;
    return true;
  }

  /** `take` tells whether it takes the session over. */
  replace(session: ClientSession, take: (session: ClientSession) => boolean): void {
    if (!this.#taken && this.#newest !== session) {
      this.#newest?.secret.erase('replaced');
    }
    this.#newest = session;
    this.#taken = take(session);
  }

  /** The socket is gone. */
  end(): void {
    if (!this.#taken) {
      this.#newest?.secret.erase('closed');
    }
    this.#newest = undefined;
  }
}
