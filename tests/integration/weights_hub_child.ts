/** A process that downloads org/name, to be killed or to fail on its own: arguments are the hub's address and the cache. */
import { downloadFromHub } from "../../lib/weights/hub.ts";

const [endpoint, cacheDir] = Deno.args as [string, string];
const env = (name: string) => name === "HF_ENDPOINT" ? endpoint : undefined;
const delay = () => Promise.resolve();
await downloadFromHub({ repo: "org/name", type: "model", files: ["model.safetensors"], cacheDir, env, delay })
  .then(() => console.log("done"), (error) => console.log(`${error.kind}: ${error.message}`));
