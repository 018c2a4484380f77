/**
 * The registers in which a server remembers which tickets were used: for those that resume once, and for early data. In this
 * process's memory unless one is given that several processes share; both kinds may be the same one.
 */

import type { EarlyDataPolicy } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import {
  LocalSingleUseRegister,
  type SharedSingleUseRegister,
  type SingleUseRegister,
  type TicketClaim,
} from '../session/single-use-register.ts';
import { systemClock } from './clock.ts';
import { parsePeriod } from './tls-options.ts';

export interface EarlyDataOptions {
  /** Bytes that a client may send per ticket: 1 to 2^20. Default 16,384. */
  readonly maxEarlyDataSize?: number;
  /** By how much the age of a ticket may be off: seconds, or a text such as '10s'. Up to one minute, default 10 s. */
  readonly freshnessWindow?: number | string;
  /**
   * Remembers which tickets came with early data. Default: this process's memory, which does for a ring of keys that no other
   * process has: with `keys` that are shared the register has to be given.
   */
  readonly register?: SharedSingleUseRegister;
  /** Milliseconds since the epoch: from when on `register` has remembered everything. Default: now. */
  readonly recordingSince?: number;
}

export interface TicketRegisterOptions {
  readonly earlyData?: boolean | EarlyDataOptions;
  readonly singleUse?: boolean | SharedSingleUseRegister;
  /** The ring was made elsewhere: other processes may know its keys. */
  readonly sharedKeys: boolean;
}

export class TicketRegisters {
  readonly earlyData: EarlyDataPolicy | undefined;
  readonly singleUse: 'ask' | SingleUseRegister | undefined;
  /** Answers `claimTicket` needs. */
  readonly #shared: SharedSingleUseRegister | undefined;
  #local: LocalSingleUseRegister | undefined;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor({ earlyData, singleUse, sharedKeys }: TicketRegisterOptions) {
    const early = earlyData === true ? {} : earlyData || undefined;
    const given = typeof singleUse === 'object' ? singleUse : early?.register;
    if (given === undefined && (early !== undefined || singleUse === true) && sharedKeys) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        'sessions.keys are shared, so each process would take each ticket: give a register that they share too',
      );
    }
    this.#shared = given;
    const register = given === undefined ? { claim: this.#claimHere } : 'ask';
    this.singleUse = singleUse ? register : undefined;
    if (early !== undefined) {
      const { maxEarlyDataSize = 16_384, freshnessWindow = '10s', recordingSince = Date.now() } = early;
      this.earlyData = {
        maxEarlyDataSize,
        freshnessWindow: parsePeriod('sessions.earlyData.freshnessWindow', freshnessWindow),
        register,
        recordingSince,
      };
    }
  }

  /** A register that fails, or answers something else, knows nothing: no ticket is taken then. */
  async claim(ticketId: Uint8Array, expiresAt: number): Promise<TicketClaim> {
    try {
      const claim = await this.#shared?.claim(ticketId, expiresAt);
      return claim === 'fresh' || claim === 'used' ? claim : 'full';
    } catch {
      return 'full';
    }
  }

  close(): void {
    this.#local?.close();
    this.#local = undefined;
  }

  /** A server that listens again has new keys, so its register may be new too. */
  readonly #claimHere = (ticketId: Uint8Array, expiresAt: number): TicketClaim => {
    this.#local ??= new LocalSingleUseRegister({ clock: systemClock });
    return this.#local.claim(ticketId, expiresAt);
  };
}
