/**
 * A server on the loopback interface that speaks MLflow's REST API as the real one does (measured with MLflow 3.18):
 * `runs/create` twice makes two runs, `log-batch` twice keeps one copy, a changed param refuses the whole batch, limits
 * are enforced, a metric's history without `max_results` is empty. Any request can be told to fail, any connection to
 * break.
 */
import { randomUUID } from "node:crypto";
import { type Fault, startFront } from "./broken_connections.ts";

/** A request that was made. */
export interface Asked {
  readonly method: string;
  /** The path behind /api/2.0/. */
  readonly path: string;
  readonly authorization: string | null;
  readonly bytes: number;
}

/** A run as the server keeps it. */
export interface KeptRun {
  readonly run_id: string;
  status: string;
  end_time?: number;
  readonly tags: Map<string, string>;
  readonly params: Map<string, string>;
  readonly metrics: { key: string; value: number | string; timestamp: number; step: number }[];
  readonly artifacts: Map<string, string>;
}

/** What happens to a request in place of, or after, the right thing. */
export type Trouble =
  | { status: number; headers?: Record<string, string>; body?: string }
  /** The request is carried out, and its answer lost. */
  | "lost"
  /** No answer until the server is closed. */
  | "silent"
  /** A part of the answer. */
  | "half";

/** A running server. */
export interface MlflowServer extends AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[];
  readonly runs: KeptRun[];
  /** What befalls a request; undefined lets it pass. */
  trouble: (request: Asked) => Trouble | undefined;
  /** What befalls the next new connections. */
  readonly connections: Fault[];
  /** The Authorization header that is taken; without it all are. */
  authorization: string | undefined;
  /** The run with our id. */
  run(ourId: string): KeptRun;
}

class Refused extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

/** Starts a server with no experiments; `port` 0 takes a free one. */
export function startMlflow(port = 0): MlflowServer {
  const experiments: { experiment_id: string; name: string; lifecycle_stage: string }[] = [];
  const runs: KeptRun[] = [];
  const asked: Asked[] = [];
  const connections: Fault[] = [];
  const closing = Promise.withResolvers<void>();

  const byId = (id: string) => {
    const run = runs.find(({ run_id }) => run_id === id);
    if (!run) throw new Refused(404, "RESOURCE_DOES_NOT_EXIST", `Run with id=${id} not found`);
    return run;
  };
  const shown = (run: KeptRun) => ({
    info: { run_id: run.run_id, status: run.status, artifact_uri: `mlflow-artifacts:/1/${run.run_id}/artifacts` },
    data: { metrics: [...new Set(run.metrics.map(({ key }) => key))].map((key) => ({ key })) },
  });
  // deno-lint-ignore no-explicit-any -- bodies of many shapes
  const endpoints: Record<string, (body: any) => unknown> = {
    "experiments/get-by-name": ({ experiment_name }) => {
      const experiment = experiments.find(({ name }) => name === experiment_name);
      if (!experiment) throw new Refused(404, "RESOURCE_DOES_NOT_EXIST", "no such experiment");
      return { experiment };
    },
    "experiments/create": ({ name }) => {
      if (experiments.some((one) => one.name === name)) throw new Refused(400, "RESOURCE_ALREADY_EXISTS", "exists");
      experiments.push({ experiment_id: String(experiments.length + 1), name, lifecycle_stage: "active" });
      return { experiment_id: String(experiments.length) };
    },
    "runs/search": ({ filter }) => {
      const id = /^tags\.`winnow\.run_id` = '([^']*)'$/.exec(filter)![1];
      return { runs: runs.filter(({ tags }) => tags.get("winnow.run_id") === id).slice(0, 1).map(shown) };
    },
    "runs/create": ({ run_name, tags }) => {
      const run: KeptRun = {
        run_id: randomUUID().replaceAll("-", ""),
        status: "RUNNING",
        tags: new Map([["mlflow.runName", run_name], ...tags.map((tag: Entry) => [tag.key, tag.value])]),
        params: new Map(),
        metrics: [],
        artifacts: new Map(),
      };
      runs.push(run);
      return { run: shown(run) };
    },
    "runs/update": ({ run_id, status, end_time }) => {
      Object.assign(byId(run_id), { status, ...(end_time === undefined ? {} : { end_time }) });
      return {};
    },
    "runs/get": ({ run_id }) => ({ run: shown(byId(run_id)) }),
    "runs/log-batch": ({ run_id, metrics = [], params = [], tags = [] }) => {
      logBatch(byId(run_id), metrics, params, tags);
      return {};
    },
    "metrics/get-history": ({ run_id, metric_key, max_results, page_token }) => {
      const all = byId(run_id).metrics.filter(({ key }) => key === metric_key);
      const from = Number(page_token ?? 0), size = Math.min(Number(max_results ?? 0), 3);
      return {
        metrics: all.slice(from, from + size),
        ...(from + size < all.length ? { next_page_token: String(from + size) } : {}),
      };
    },
  };

  const answer = async (request: Request, one: Asked, body: string): Promise<Response> => {
    try {
      if (server.authorization !== undefined && one.authorization !== server.authorization) {
        return new Response("You are not authenticated", { status: 401 });
      }
      const artifact = /^mlflow-artifacts\/artifacts\/1\/([0-9a-f]+)\/artifacts\/(.+)$/.exec(one.path);
      if (artifact && request.method === "PUT") {
        byId(artifact[1]!).artifacts.set(decodeURIComponent(artifact[2]!), body);
        return Response.json({});
      }
      const endpoint = endpoints[one.path.replace(/^mlflow\//, "")];
      if (!endpoint) return new Response("<html>Not Found</html>", { status: 404 });
      const query = Object.fromEntries(new URL(request.url).searchParams);
      return Response.json(await endpoint(body === "" ? query : JSON.parse(body)));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return Response.json({ error_code: error.code, message: error.message }, { status: error.status });
    }
  };

  const http = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const bytes = new Uint8Array(await request.arrayBuffer());
    const one: Asked = {
      method: request.method,
      path: new URL(request.url).pathname.replace("/api/2.0/", ""),
      authorization: request.headers.get("Authorization"),
      bytes: bytes.length,
    };
    asked.push(one);
    const trouble = server.trouble(one);
    if (trouble && typeof trouble === "object") {
      return new Response(trouble.body ?? "trouble", { status: trouble.status, headers: trouble.headers ?? {} });
    }
    const right = await answer(request, one, new TextDecoder().decode(bytes));
    if (trouble === "lost") return new Response("the proxy gave up", { status: 502 });
    if (trouble === "silent") await closing.promise;
    if (trouble === "half") return new Response(`{"run": {"info": `, { status: 200 });
    return right;
  });
  const front = startFront(http.addr.port, connections, port);
  const server: MlflowServer = {
    url: `http://127.0.0.1:${front.port}`,
    ...{ asked, runs, connections },
    trouble: () => undefined,
    authorization: undefined,
    run: (ourId) => {
      const found = runs.filter(({ tags }) => tags.get("winnow.run_id") === ourId);
      if (found.length !== 1) throw new Error(`Expected one run for ${ourId} but found ${found.length}`);
      return found[0]!;
    },
    async [Symbol.asyncDispose]() {
      closing.resolve();
      await front[Symbol.asyncDispose]();
      await http.shutdown();
    },
  };
  return server;
}

interface Entry {
  key: string;
  value: string;
}

/** The rules of `SqlAlchemyStore.log_batch`: all checks first, then params, metrics, tags. */
function logBatch(run: KeptRun, metrics: KeptRun["metrics"], params: Entry[], tags: Entry[]): void {
  const invalid = (message: string) => new Refused(400, "INVALID_PARAMETER_VALUE", message);
  if (metrics.length > 1000 || params.length > 100 || tags.length > 100) throw invalid("too many");
  if (metrics.length + params.length + tags.length > 1000) throw invalid("too many in total");
  for (const { key } of [...metrics, ...params, ...tags]) {
    if (!/^[/\p{L}\p{N}_.\- :]{1,250}$/u.test(key) || key.startsWith("/")) throw invalid(`bad name ${key}`);
  }
  for (const { value, step, timestamp } of metrics) {
    const isNumber = typeof value === "number" || ["NaN", "Infinity", "-Infinity"].includes(value);
    if (!isNumber || !Number.isInteger(step) || !(timestamp >= 0)) throw invalid(`bad metric ${value}`);
  }
  for (const { key, value } of params) {
    if ((run.params.get(key) ?? value) !== value) throw invalid(`param ${key} has another value`);
  }
  for (const { key, value } of params) run.params.set(key, value);
  for (const one of metrics) {
    const same = (other: typeof one) =>
      other.key === one.key && other.step === one.step && other.timestamp === one.timestamp &&
      other.value === one.value;
    if (!run.metrics.some(same)) run.metrics.push(one);
  }
  for (const { key, value } of tags) run.tags.set(key, value);
}
