/** The real MLflow: scripts of tests/peers and the server, by the Python that WINNOW_MLFLOW_PYTHON names. */
import { join } from "node:path";
import { ROOT } from "./commands.ts";

function mlflowPython(): string {
  const python = Deno.env.get("WINNOW_MLFLOW_PYTHON");
  if (!python) throw new Error("Set WINNOW_MLFLOW_PYTHON to a Python with MLflow; scripts/setup.sh --peers makes one");
  return python;
}

/** MLflow tells nobody that it was started, and asks no network. */
const ENVIRONMENT = { MLFLOW_DISABLE_TELEMETRY: "true", DO_NOT_TRACK: "true" };

/** Runs a script and returns what it prints. */
export async function runMlflow(script: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(mlflowPython(), {
    args: [join(ROOT, "tests/peers", script), ...args],
    env: ENVIRONMENT,
  }).output();
  if (!success) throw new Error(`${script} failed:\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** A run as Python reads it. */
export interface ReadRun {
  id: string;
  name: string;
  status: string;
  lifecycle: string;
  start: number;
  end: number | null;
  tags: Record<string, string>;
  params: Record<string, string>;
  latest: Record<string, number | string>;
  /** Step, value ("nan", "inf", "-inf" as texts) and timestamp. */
  history: Record<string, [number, number | string, number][]>;
  artifacts: string[];
}

/** Everything that MLflow's client finds of an experiment. */
export async function readMlflow(
  uri: string,
  experiment = "winnow",
): Promise<{ experiment: string; tags: Record<string, string>; runs: ReadRun[] }> {
  return JSON.parse(await runMlflow("mlflow_read.py", uri, experiment));
}

/** A real server on the loopback interface. */
export interface RealServer extends AsyncDisposable {
  readonly url: string;
  /** Ends it without ceremony. */
  kill(): Promise<void>;
}

/** Starts `mlflow server` on an SQLite file, its artifacts and logs in `folder`, and waits until it answers. */
export async function startRealServer(folder: string, database = join(folder, "server.db")): Promise<RealServer> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  // A process group of its own: its workers end with it.
  const child = new Deno.Command("setsid", {
    args: [
      mlflowPython(),
      ...["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", `${port}`, "--workers", "1"],
      ...["--backend-store-uri", `sqlite:///${database}`, "--artifacts-destination", join(folder, "artifacts")],
    ],
    cwd: folder,
    env: ENVIRONMENT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  let ended = false;
  output.then(() => ended = true);
  const url = `http://127.0.0.1:${port}`;
  const stop = async (signal: Deno.Signal = "SIGTERM") => {
    if (!ended) Deno.kill(-child.pid, signal);
    return new TextDecoder().decode((await output).stderr);
  };
  for (let i = 0; i < 240; i++) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) {
      return {
        url,
        kill: async () => void await stop("SIGKILL"),
        [Symbol.asyncDispose]: async () => void await stop(),
      };
    }
    if (ended) break;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`mlflow server did not start:\n${await stop()}`);
}
