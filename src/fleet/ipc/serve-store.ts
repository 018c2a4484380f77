/** Answers for a store to those who reach it by messages (see ipc-store.ts). */

import type { RingStore, StoredRecord } from '../store.ts';
import { type CallMessage, fromBase64, isRingMessage, type MessageLink, toBase64 } from './link.ts';

/**
 * Serves until the returned function is called.
 * @param hello what newcomers are told: plain JSON
 */
export function serveStore(store: RingStore, link: MessageLink, hello: () => unknown): () => void {
  const answer = async (message: CallMessage): Promise<void> => {
    const { caller, id } = message;
    let outcome: { readonly result: unknown } | { readonly error: string };
    try {
      outcome = { result: await carryOut(store, message, hello) };
    } catch (error) {
      outcome = { error: error instanceof Error ? error.message : String(error) };
    }
    tryToSend(link, { mayflyRing: 1, caller, id, ...outcome });
  };
  const stopListening = link.listen((message) => {
    if (isRingMessage(message) && 'call' in message) {
      void answer(message);
    }
  });
  const unsubscribe = store.subscribe(() => tryToSend(link, { mayflyRing: 1, news: true }));
  return () => {
    stopListening();
    unsubscribe();
  };
}

/** Whoever asked may be gone by now. */
function tryToSend(link: MessageLink, message: object): void {
  try {
    link.send(message);
  } catch {
    // A caller that is gone needs no answer.
  }
}

async function carryOut(store: RingStore, { call, args }: CallMessage, hello: () => unknown): Promise<unknown> {
  const [slot, record, ttl, ifAbsent] = args;
  switch (call) {
    case 'hello':
      return hello();
    case 'time':
      return store.time();
    case 'listMembers':
      return encoded(await store.listMembers());
    case 'listEpochs':
      return encoded(await store.listEpochs());
    case 'listWelcomes':
      return encoded(await store.listWelcomes(String(slot)));
    case 'listOrders':
      return encoded(await store.listOrders());
    case 'putMember':
      return store.putMember(String(slot), fromBase64(record), Number(ttl));
    case 'putEpoch':
      return store.putEpoch(String(slot), fromBase64(record), Number(ttl), ifAbsent === true);
    case 'putWelcome':
      return store.putWelcome(String(slot), fromBase64(record), Number(ttl));
    case 'putOrder':
      return store.putOrder(String(slot), fromBase64(record), Number(ttl));
    case 'removeMember':
      return store.removeMember(String(slot));
    case 'publish':
      return store.publish();
    default:
      throw new Error(`there is no call ${call}`);
  }
}

function encoded(records: readonly StoredRecord[]): readonly (readonly [string, string])[] {
  return records.map(({ slot, bytes }) => [slot, toBase64(bytes)]);
}
