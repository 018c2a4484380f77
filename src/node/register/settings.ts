/** The environment variables of `mayfly/register`, read. */

import { readFileSync } from 'node:fs';
import { TLSError } from '../../errors.ts';
import type { FleetOptions } from '../fleet.ts';
import type { MachineRingOptions } from '../machine-ring.ts';
import type { ManageTicketsOptions } from '../native/manage-tickets.ts';
import { parsePeriod } from '../tls-options.ts';

export interface RegisterSettings {
  /** Undefined: the machine's own ring. */
  readonly fleet: (FleetOptions & { readonly url: string }) | undefined;
  readonly times: Pick<MachineRingOptions, 'rotate' | 'ticketLifetime'>;
  readonly manage: Pick<ManageTicketsOptions, 'sessionIdContext' | 'sessionTimeout'>;
}

type Look = (name: string) => string | undefined;

/** @throws TLSError `TLS_ERR_CONFIG` */
export function registerSettings(env: Readonly<Record<string, string | undefined>>): RegisterSettings {
  const look: Look = (name) => env[name] || undefined;
  const sessionIdContext = look('MAYFLY_SESSION_ID_CONTEXT');
  const sessionTimeout = seconds('MAYFLY_SESSION_TIMEOUT', look);
  const rotate = seconds('MAYFLY_ROTATE', look);
  const ticketLifetime = seconds('MAYFLY_TICKET_LIFETIME', look);
  const times = {
    ...(rotate === undefined ? {} : { rotate }),
    ...(ticketLifetime === undefined ? {} : { ticketLifetime }),
  };
  return {
    fleet: fleetSettings(look, times),
    times,
    manage: {
      ...(sessionIdContext === undefined ? {} : { sessionIdContext }),
      ...(sessionTimeout === undefined ? {} : { sessionTimeout }),
    },
  };
}

function fleetSettings(look: Look, times: RegisterSettings['times']): RegisterSettings['fleet'] {
  const url = look('MAYFLY_FLEET_URL');
  const identity = look('MAYFLY_IDENTITY');
  if (url === undefined || identity === undefined) {
    const alone = FLEET_NAMES.find((name) => look(name) !== undefined);
    if (alone !== undefined) {
      throw new TLSError('TLS_ERR_CONFIG', `${alone} is set: a fleet needs both MAYFLY_FLEET_URL and MAYFLY_IDENTITY`);
    }
    return undefined;
  }
  const ca = look('MAYFLY_FLEET_CA');
  const processes = look('MAYFLY_FLEET_PROCESSES');
  return {
    url,
    identity,
    fleetName: look('MAYFLY_FLEET_NAME'),
    ...times,
    ...(ca === undefined ? {} : { ca: readCa(ca) }),
    ...(processes === undefined ? {} : { processes: Number(processes) }),
  };
}

/** Whole seconds, from what people write: '15m', or a bare number of seconds. */
function seconds(name: string, look: Look): number | undefined {
  const text = look(name)?.trim();
  if (text === undefined) {
    return undefined;
  }
  const value = Math.floor(parsePeriod(name, /^\d+$/.test(text) ? Number(text) : text) / 1000);
  if (value < 1) {
    throw new TLSError('TLS_ERR_CONFIG', `${name}: expected at least a second, got ${text}`);
  }
  return value;
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TLSError('TLS_ERR_CONFIG', `MAYFLY_FLEET_CA: ${path} cannot be read`, { cause });
  }
}

const FLEET_NAMES = [
  'MAYFLY_FLEET_URL',
  'MAYFLY_IDENTITY',
  'MAYFLY_FLEET_NAME',
  'MAYFLY_FLEET_CA',
  'MAYFLY_FLEET_PROCESSES',
];
