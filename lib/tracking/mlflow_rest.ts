/**
 * Runs on an MLflow server, over its REST API 2.0.
 *
 * The server chooses ids, and `runs/create` twice makes two runs, so a run is looked for by its tag `winnow.run_id` first:
 * also when the answer to a creation was lost. `log-batch` twice leaves one copy. Its params stand in requests of their
 * own: one that contradicts an earlier value has the whole request refused.
 */
import { inputError } from "../support/errors.ts";
import {
  artifactParts,
  EXPERIMENT_KIND,
  inGroups,
  MAX_METRICS,
  MAX_PARAMS,
  MAX_TAGS,
  metricKey,
  paramEntries,
  tagValue,
} from "./limits.ts";
import { type Answer, askServer, persistently, send, type ServerAccess, ServerRefusal } from "./mlflow_http.ts";
import type { Artifact, Batch, RunDescription, RunEnd, Tracker } from "./tracker.ts";

const API = "/api/2.0/mlflow";
/** Entries of a page of a metric's history. Without a number a server gives none at all. */
const PAGE = 25_000;

/** A run as the server knows it. */
interface ServerRun {
  readonly id: string;
  readonly artifactUri: string;
}

interface Server {
  readonly access: ServerAccess;
  readonly experiment: string;
  /** Its id, once it has been asked for. */
  experimentId?: string;
  /** Runs by our ids. */
  readonly runs: Map<string, ServerRun>;
}

/**
 * The server's address as `tracking.uri` or MLFLOW_TRACKING_URI has it, without a slash at its end.
 *
 * @throws an input error where it is none, or holds a password, which would show in messages
 */
export function serverAddress(uri: string): string {
  const url = URL.parse(uri.trim());
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash) {
    throw inputError(
      "the address of the tracking server is none that begins with http:// or https://",
      "Set tracking.uri or MLFLOW_TRACKING_URI to an address like https://mlflow.example.org",
    );
  }
  if (url.username || url.password) {
    throw inputError(
      `the address of the tracking server ${url.host} holds a password`,
      "Take it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    );
  }
  return url.href.replace(/\/+$/, "");
}

/** Speaks with a server; nothing is asked until the first call. Experiment and runs are created where they are missing. */
export function openMlflowServer(access: ServerAccess, experiment: string): Tracker {
  const server: Server = { access, experiment, runs: new Map() };
  return {
    where: access.address,
    openRun: (run) => openRun(server, run),
    logBatch: (batch) => logBatch(server, batch),
    logArtifact: (artifact) => logArtifact(server, artifact),
    endRun: async (end: RunEnd) => {
      const { id: run_id } = await runOf(server, end.run_id);
      await post(server, "runs/update", { run_id, status: end.status, end_time: end.end_time });
    },
    loggedSteps: (runId) => loggedSteps(server, runId),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const post = (server: Server, endpoint: string, body: unknown): Promise<Answer> =>
  askServer(server.access, { method: "POST", path: `${API}/${endpoint}`, body });

const get = (server: Server, endpoint: string, query: Record<string, string>): Promise<Answer> =>
  askServer(server.access, { method: "GET", path: `${API}/${endpoint}?${new URLSearchParams(query)}` });

/** The experiment's id. Of two programs that create it at once, one is told that it exists. */
async function experimentId(server: Server): Promise<string> {
  if (server.experimentId !== undefined) return server.experimentId;
  const name = server.experiment;
  const find = async () => {
    const { experiment } = await get(server, "experiments/get-by-name", { experiment_name: name });
    if (experiment.lifecycle_stage !== "deleted") return String(experiment.experiment_id);
    throw inputError(
      `the experiment ${name} of ${server.access.address} has been deleted`,
      "Restore it in MLflow, or set tracking.experiment to another name",
    );
  };
  const [key, value] = EXPERIMENT_KIND;
  const create = async () =>
    String((await post(server, "experiments/create", { name, tags: [{ key, value }] })).experiment_id);
  server.experimentId = await unless(
    "RESOURCE_DOES_NOT_EXIST",
    find,
    () => unless("RESOURCE_ALREADY_EXISTS", create, find),
  );
  return server.experimentId;
}

/** `step`, or `instead` where the server refuses it with that word. */
async function unless<T>(code: string, step: () => Promise<T>, instead: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof ServerRefusal && cause.code === code) return await instead();
    throw error;
  }
}

const serverRun = ({ info }: Answer): ServerRun => ({
  id: String(info.run_id),
  artifactUri: String(info.artifact_uri),
});

/** A request for the run with our tag; of two, should a creation have been carried out twice, the older. */
const search = (experiment: string, runId: string) => ({
  method: "POST" as const,
  path: `${API}/runs/search`,
  body: {
    experiment_ids: [experiment],
    filter: `tags.\`winnow.run_id\` = '${runId.replaceAll("'", "")}'`,
    run_view_type: "ACTIVE_ONLY",
    order_by: ["attributes.start_time ASC"],
    max_results: 1,
  },
});

const firstRun = ({ runs }: Answer): ServerRun | undefined => runs?.[0] && serverRun(runs[0]);

async function runOf(server: Server, runId: string): Promise<ServerRun> {
  const run = server.runs.get(runId) ??
    firstRun(await askServer(server.access, search(await experimentId(server), runId)));
  if (run === undefined) {
    throw inputError(
      `${server.access.address} has no run for ${runId}: it was deleted there`,
      "Set tracking.store=none to go on without it",
    );
  }
  server.runs.set(runId, run);
  return run;
}

async function openRun(server: Server, run: RunDescription): Promise<void> {
  const { access } = server;
  const experiment = await experimentId(server);
  const parent = run.parent_id === undefined ? undefined : await runOf(server, run.parent_id);
  // These tags make the run what it is; the others follow, as in a run that is opened again.
  const identity = {
    "winnow.run_id": run.run_id,
    "mlflow.runName": run.name.slice(0, 250),
    ...(parent === undefined ? {} : { "mlflow.parentRunId": parent.id }),
  };
  const tags = tagList(identity);
  const body = { experiment_id: experiment, run_name: identity["mlflow.runName"], start_time: run.start_time, tags };
  // Each attempt looks first: the server may have carried out a creation that it did not get to answer.
  const opened = await persistently(access, async () => {
    const found = firstRun(await send(access, search(experiment, run.run_id)));
    if (found) {
      await send(access, {
        method: "POST",
        path: `${API}/runs/update`,
        body: { run_id: found.id, status: "RUNNING" },
      });
      return found;
    }
    return serverRun((await send(access, { method: "POST", path: `${API}/runs/create`, body })).run);
  });
  server.runs.set(run.run_id, opened);
  await logTags(server, opened.id, run.tags);
}

const tagList = (tags: Readonly<Record<string, string>>) =>
  Object.entries(tags).map(([key, value]) => ({ key: metricKey(key), value: tagValue(value) }));

async function logTags(server: Server, run_id: string, tags: Readonly<Record<string, string>>): Promise<void> {
  for (const group of inGroups(tagList(tags), MAX_TAGS)) await post(server, "runs/log-batch", { run_id, tags: group });
}

/** JSON has no NaN and no infinities; MLflow reads them as texts. */
const jsonNumber = (value: number) => Number.isFinite(value) ? value : String(value);

async function logBatch(server: Server, batch: Batch): Promise<void> {
  const { id: run_id } = await runOf(server, batch.run_id);
  const metrics = (batch.metrics ?? []).map(({ metric, value, timestamp, step }) => ({
    key: metricKey(metric),
    value: jsonNumber(value),
    timestamp: Math.round(timestamp),
    step: Math.round(step),
  }));
  for (const group of inGroups(metrics, MAX_METRICS)) await post(server, "runs/log-batch", { run_id, metrics: group });
  await logTags(server, run_id, batch.tags ?? {});
  const params = paramEntries(batch.params ?? {}).map(([key, value]) => ({ key, value }));
  for (const group of inGroups(params, MAX_PARAMS)) await post(server, "runs/log-batch", { run_id, params: group });
}

/** Uploads through the server, which is how a server with `--artifacts-destination`, the default, takes artifacts. */
async function logArtifact(server: Server, { run_id, path, content }: Artifact): Promise<void> {
  const parts = artifactParts(path);
  const { artifactUri } = await runOf(server, run_id);
  const proxied = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.*)$/.exec(artifactUri);
  if (!proxied) {
    throw inputError(
      `${server.access.address} keeps artifacts in ${
        artifactUri.replace(/:.*/, ":…")
      }, where only its own clients write`,
      "Start it with --serve-artifacts and a new experiment to have the reports there too; they are in the experiments folder",
    );
  }
  const body = "text" in content ? new TextEncoder().encode(content.text) : await Deno.readFile(content.file);
  const target = [...proxied[1]!.split("/"), ...parts].map(encodeURIComponent).join("/");
  await askServer(server.access, {
    method: "PUT",
    path: `/api/2.0/mlflow-artifacts/artifacts/${target}`,
    body,
  });
}

async function loggedSteps(server: Server, runId: string): Promise<Map<string, Set<number>>> {
  const { id: run_id } = await runOf(server, runId);
  const { run } = await get(server, "runs/get", { run_id });
  const found = new Map<string, Set<number>>();
  for (const { key } of run.data?.metrics ?? []) {
    const steps = new Set<number>();
    for (let token: string | undefined = "first"; token;) {
      const page: Answer = await get(server, "metrics/get-history", {
        run_id,
        metric_key: key,
        max_results: String(PAGE),
        ...(token === "first" ? {} : { page_token: token }),
      });
      for (const { step } of page.metrics ?? []) steps.add(Number(step ?? 0));
      token = page.next_page_token;
    }
    found.set(String(key), steps);
  }
  return found;
}
