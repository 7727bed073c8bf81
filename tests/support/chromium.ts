/** A headless Chromium, driven over its DevTools protocol: enough to open a page and look at it. */
import assert from "node:assert/strict";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The browser's path: WINNOW_CHROMIUM, or one in PATH; null where there is none. */
export function findChromium(): string | null {
  const named = Deno.env.get("WINNOW_CHROMIUM");
  if (named) return named;
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    for (const name of NAMES) {
      try {
        if (Deno.statSync(`${folder}/${name}`).isFile) return `${folder}/${name}`;
      } catch { /* not here */ }
    }
  }
  return null;
}

/** A page of the browser. */
export interface Page {
  /** What the page wrote to its console, what it threw, and what the browser reported of it. */
  readonly messages: string[];
  /** Addresses that were asked for. */
  readonly requests: string[];
  /** Opens an address and waits until it is loaded. */
  open(url: string): Promise<void>;
  /** The value of an expression in the page. */
  evaluate<T>(expression: string): Promise<T>;
  /** Presses a key, as a person does. */
  press(key: string): Promise<void>;
  close(): Promise<void>;
}

/** A browser. */
export interface Browser extends AsyncDisposable {
  newPage(view: { width: number; height: number; scheme: "light" | "dark" }): Promise<Page>;
}

interface Message {
  id?: number;
  sessionId?: string;
  method?: string;
  // deno-lint-ignore no-explicit-any -- the protocol's own
  params?: any;
  // deno-lint-ignore no-explicit-any -- the protocol's own
  result?: any;
  error?: { message: string };
}

/** Starts the browser with a profile of its own. */
export async function startChromium(path: string): Promise<Browser> {
  const profile = await Deno.makeTempDir({ prefix: "winnow-chromium-" });
  const child = new Deno.Command(path, {
    args: [
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
      ...["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const address = await debuggerAddress(child.stderr);
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const waiting = new Map<number, (message: Message) => void>();
  const listeners = new Set<(message: Message) => void>();
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data) as Message;
    if (message.id !== undefined) waiting.get(message.id)?.(message);
    else listeners.forEach((listener) => listener(message));
  };
  let last = 0;
  // deno-lint-ignore no-explicit-any -- the protocol's own
  const send = (method: string, params: object = {}, sessionId?: string): Promise<any> =>
    new Promise((resolve, reject) => {
      const id = ++last;
      waiting.set(
        id,
        ({ result, error }) => error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result),
      );
      socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }));
    });
  return {
    async newPage({ width, height, scheme }) {
      const { targetId } = await send("Target.createTarget", { url: "about:blank" });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      const tell = (method: string, params?: object) => send(method, params, sessionId);
      const messages: string[] = [], requests: string[] = [];
      let loaded = () => {};
      const listener = (message: Message) => {
        if (message.sessionId !== sessionId) return;
        const { method, params } = message;
        if (method === "Page.loadEventFired") loaded();
        if (method === "Network.requestWillBeSent") requests.push(params.request.url);
        if (method === "Runtime.consoleAPICalled") messages.push(JSON.stringify(params.args));
        if (method === "Runtime.exceptionThrown") messages.push(JSON.stringify(params.exceptionDetails));
        if (method === "Log.entryAdded") messages.push(params.entry.text);
      };
      listeners.add(listener);
      for (const domain of ["Page", "Runtime", "Log", "Network"]) await tell(`${domain}.enable`);
      await tell("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
      await tell("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
      return {
        messages,
        requests,
        async open(url) {
          const load = new Promise<void>((resolve) => loaded = resolve);
          const { errorText } = await tell("Page.navigate", { url });
          assert.equal(errorText, undefined, url);
          await load;
        },
        async evaluate(expression) {
          const { result, exceptionDetails } = await tell("Runtime.evaluate", { expression, returnByValue: true });
          assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
          return result.value;
        },
        async press(key) {
          for (const type of ["keyDown", "keyUp"]) await tell("Input.dispatchKeyEvent", { type, key, code: key });
        },
        async close() {
          listeners.delete(listener);
          await send("Target.closeTarget", { targetId });
        },
      };
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => socket.onclose = resolve);
      await send("Browser.close").catch(() => {});
      await closed;
      await child.status;
      await Deno.remove(profile, { recursive: true }).catch(() => {});
    },
  };
}

/** Where the browser listens, which it writes to stderr. The rest of stderr is read and left. */
async function debuggerAddress(stderr: ReadableStream<Uint8Array>): Promise<string> {
  const [first, rest] = stderr.tee();
  void rest.pipeTo(new WritableStream()).catch(() => {});
  let text = "";
  for await (const chunk of first.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const found = /DevTools listening on (ws:\/\/\S+)/.exec(text);
    if (found) return found[1]!;
  }
  throw new Error(`the browser ended before it listened:\n${text}`);
}
