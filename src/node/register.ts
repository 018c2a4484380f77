/**
 * `node --import mayfly/register app.js`: the ring of ticket keys under all servers of `node:tls`, `node:https` and
 * `node:http2` that an unmodified program makes, in all its processes and threads.
 *
 *     MAYFLY_FLEET_URL, MAYFLY_IDENTITY    a fleet's ring; without them the ring of this machine's processes and threads
 *     MAYFLY_FLEET_NAME, MAYFLY_FLEET_CA   what the identity must say; PEM file of the CAs for rediss://
 *     MAYFLY_FLEET_PROCESSES               processes that run with the identity at a time
 *     MAYFLY_ROTATE, MAYFLY_TICKET_LIFETIME, MAYFLY_SESSION_ID_CONTEXT, MAYFLY_SESSION_TIMEOUT
 *
 * What is wrong with them is said, and ends the start. Nothing else of Node is touched: every server calls
 * `setSecureContext` in its constructor, and that is where it is noticed.
 */

import nodeTls from 'node:tls';
import { isMainThread } from 'node:worker_threads';
import { TLSError } from '../errors.ts';
import { type ManageTicketsOptions, manageTickets } from './native/manage-tickets.ts';
import { machineProcessRing, type ProcessRing } from './register/process-ring.ts';
import { type RegisterSettings, registerSettings } from './register/settings.ts';

try {
  const settings = registerSettings(process.env);
  install(await openRing(settings), settings.manage);
} catch (error) {
  // A thread's error goes to who started it.
  if (!isMainThread || !(error instanceof TLSError)) {
    throw error;
  }
  process.stderr.write(`mayfly/register: ${error.message}\n`);
  process.exit(1);
}

async function openRing({ fleet, times }: RegisterSettings): Promise<ProcessRing> {
  if (fleet === undefined) {
    return machineProcessRing(times);
  }
  // Not everyone pays for loading the client of a store.
  const { fleetProcessRing } = await import('./register/fleet-ring.ts');
  return fleetProcessRing(fleet);
}

function install(ring: ProcessRing, options: ManageTicketsOptions): void {
  const seen = new WeakSet<object>();
  const open = new Set<object>();
  const { cache } = ring;
  const { prototype } = nodeTls.Server;
  const original = prototype.setSecureContext;
  prototype.setSecureContext = function setSecureContext(this: nodeTls.Server, given): void {
    original.call(this, given);
    if (!seen.has(this)) {
      seen.add(this);
      // Its constructor is not through; and nobody connects to it before that.
      process.nextTick(watch, this);
    }
  };

  function watch(server: nodeTls.Server): void {
    if ('secureSockets' in server) {
      // Mayfly's own, on the frame of Node's: it has its ring already.
      return;
    }
    serve(server);
    // A server that was closed may listen again.
    server.on('listening', () => serve(server));
    server.on('close', () => {
      open.delete(server);
      if (open.size === 0) {
        ring.close();
      }
    });
  }

  function serve(server: nodeTls.Server): void {
    open.add(server);
    ring.open();
    try {
      manageTickets(server, ring.keys, { ...options, ...(cache === undefined ? {} : { cache }) });
    } catch (error) {
      // Managed already: by us, or by the program itself with a ring of its own.
      if (!(error instanceof TLSError && error.code === 'TLS_ERR_WRONG_STATE')) {
        throw error;
      }
    }
  }
}
