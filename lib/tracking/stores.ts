/** The tracking stores that a configuration can choose, and how one is opened. */
import type { Delay } from "../support/retry.ts";
import { inputError } from "../support/errors.ts";
import { type Environment, openCredentials } from "./credentials.ts";
import { databasePath, openMlflowDatabase } from "./mlflow_db.ts";
import { openMlflowServer, serverAddress } from "./mlflow_rest.ts";
import type { Tracker } from "./tracker.ts";

/** Names of the stores with one line each. */
export const TRACKING_STORES = {
  mlflow_db: "MLflow's own database, an SQLite file that `mlflow ui` opens",
  mlflow_rest: "an MLflow server",
  none: "no tracking",
} as const;

/** Milliseconds for one request to a server. */
const TIMEOUT_MS = 30_000;

/** What decides the store; names and meanings are the configuration's. */
export interface TrackingSettings {
  readonly store: keyof typeof TRACKING_STORES;
  readonly uri: string | null;
  readonly experiment: string;
  readonly token_file: string | null;
  readonly token_command: readonly string[] | null;
}

/** What a store is opened with beside its settings. */
export interface OpenTrackerOptions {
  /** The file of mlflow_db where `uri` is null. */
  readonly defaultFile: string;
  readonly env: Environment;
  readonly timeout?: number;
  readonly delay?: Delay;
  /** Called before a request is tried again. */
  onRetry?(reason: string, milliseconds: number): void;
}

/**
 * Opens the store; undefined with `none`. A server is not asked before the first call.
 *
 * @throws an input error for an address that is none, a storage or input error of the database
 */
export function openTracker(settings: TrackingSettings, options: OpenTrackerOptions): Tracker | undefined {
  const { store, uri, experiment, token_file: tokenFile, token_command: tokenCommand } = settings;
  if (store === "none") return undefined;
  if (store === "mlflow_db") return openMlflowDatabase(databasePath(uri ?? options.defaultFile), experiment);
  const address = uri ?? options.env("MLFLOW_TRACKING_URI");
  if (!address) {
    throw inputError(
      "tracking.store is mlflow_rest, but no server is named",
      "Set tracking.uri or MLFLOW_TRACKING_URI",
    );
  }
  return openMlflowServer({
    address: serverAddress(address),
    credentials: openCredentials({ tokenFile, tokenCommand }, options.env),
    timeout: options.timeout ?? TIMEOUT_MS,
    delay: options.delay,
    onRetry: options.onRetry,
  }, experiment);
}
