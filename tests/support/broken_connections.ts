/** Connections to a server that break: what a bad line, a killed server or a lying proxy does to them. */

/** What befalls a connection: the answers are cut after so many bytes, or this comes in place of one; undefined: nothing. */
export type Fault = { cutAfter: number } | { raw: string } | undefined;

/** A front of a server: a port whose connections are passed on to the server's. */
export interface Front extends AsyncDisposable {
  readonly port: number;
}

/** Passes connections on to a port of this machine; each new one takes the next of `faults`. */
export function startFront(target: number, faults: Fault[], port = 0): Front {
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  const open = new Set<Deno.Conn>();
  const serving = new Set<Promise<void>>();
  const close = (conn: Deno.Conn) => {
    if (open.delete(conn)) conn.close();
  };

  async function pass(client: Deno.Conn, fault: Fault): Promise<void> {
    open.add(client);
    if (fault && "raw" in fault) {
      await client.read(new Uint8Array(4096)).catch(() => {});
      await client.write(new TextEncoder().encode(fault.raw)).catch(() => {});
      return close(client);
    }
    const server = await Deno.connect({ hostname: "127.0.0.1", port: target });
    open.add(server);
    const both = () => [client, server].forEach(close);
    await Promise.all([
      copy(client, server, Infinity).finally(both),
      copy(server, client, fault?.cutAfter).finally(both),
    ]);
  }

  const accepting = (async () => {
    for await (const client of listener) {
      const served: Promise<void> = pass(client, faults.shift()).catch(() => {}).finally(() => serving.delete(served));
      serving.add(served);
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      [...open].forEach(close);
      await Promise.all(serving);
    },
  };
}

/** Copies until one side ends or so many bytes have gone. */
async function copy(from: Deno.Conn, to: Deno.Conn, limit = Infinity): Promise<void> {
  const buffer = new Uint8Array(65_536);
  for (let left = limit; left > 0;) {
    const read = await from.read(buffer).catch(() => null); // closed by the other direction
    if (read === null) return;
    const piece = buffer.subarray(0, Math.min(read, left));
    left -= piece.length;
    for (let written = 0; written < piece.length;) {
      written += await to.write(piece.subarray(written)).catch(() => Infinity);
    }
  }
}
