/**
 * Gives the memory of a cipher's output back at once, where Node can. Left to the garbage collector it costs far more than
 * it looks: V8 counts what hangs outside of its heap, and some 64 MiB of it start a collection of the whole heap; until
 * then every next output lies on memory that no cache holds.
 *
 *     ArrayBuffer.prototype.transfer(0)                newer Nodes
 *     postMessage(null, [buffer]) to a closed port     Node 20: what is transferred is gone (HTML Standard §9.4.4)
 */

/** `output` must be an allocation of its own that nobody uses any more; what is a slice of something larger is left alone. */
export function giveBack(output: Uint8Array): void {
  if (output.length < SMALLEST || output.length !== output.buffer.byteLength) {
    return;
  }
  way ??= findWay();
  if (output.length >= way.smallest) {
    way.free(output.buffer as ArrayBuffer);
  }
}

interface Way {
  /** Bytes. Below this, giving memory back by hand costs more than leaving it to the collector. */
  readonly smallest: number;
  free(buffer: ArrayBuffer): void;
}

/** Found out by trying, never by version number. */
function findWay(): Way {
  for (const make of [transfer, closedPort]) {
    try {
      const found = make();
      const probe = new ArrayBuffer(SMALLEST);
      found.free(probe);
      if (probe.byteLength === 0) {
        return found;
      }
    } catch {
      // This Node has the next one.
    }
  }
  return { smallest: Number.POSITIVE_INFINITY, free() {} };
}

function transfer(): Way {
  return {
    smallest: SMALLEST,
    free(buffer) {
      (buffer as Transferable).transfer(0);
    },
  };
}

function closedPort(): Way {
  const { port1, port2 } = new MessageChannel();
  port1.unref();
  port2.close();
  const list: ArrayBuffer[] = [];
  const free = (buffer: ArrayBuffer): void => {
    list[0] = buffer;
    port1.postMessage(null, list);
    list.length = 0;
  };
  return { smallest: SMALLEST_POSTED, free };
}

/** Newer than the types that the project builds against. */
interface Transferable extends ArrayBuffer {
  transfer(length: number): ArrayBuffer;
}

let way: Way | undefined;
const SMALLEST = 1024;
const SMALLEST_POSTED = 4096;
