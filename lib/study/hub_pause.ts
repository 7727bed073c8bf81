/**
 * A hub token that expires while a study runs pauses the study: a trial that needs a file which the hub refuses waits until
 * the hub takes the token again, in place of failing. The token is read anew at each look.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Level, type Logger } from "../support/logging.ts";
import { WinnowError } from "../support/errors.ts";
import {
  type Environment,
  hubToken,
  processEnv,
  tokenFile,
  tokenVariable,
  withoutTokenVariables,
} from "../weights/hub_environment.ts";
import { saysNoAccess, saysTokenRefused } from "../weights/hub_retry.ts";
import type { HubOptions } from "./model_source.ts";

/** Milliseconds between two looks. */
export const TOKEN_CHECK_MS = 5 * 60_000;

/** Makes calls to the hub for a study that runs. */
export interface HubPause {
  /**
   * Makes a call; where the hub refuses the token that went along, says so and makes it again every few minutes until it
   * succeeds.
   *
   * @throws the signal's reason when it is aborted; an error of the call that neither another token nor time will change
   */
  ask<T>(call: (hub: HubOptions) => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** Where a pause is told, and how long it takes. */
export interface HubPauseOptions {
  /** The log of whatever runs now. */
  log(): Logger;
  /** For people at the terminal. */
  say(text: string): void;
  /** Milliseconds between two looks; five minutes unless given. */
  readonly checkMs?: number | undefined;
  /** The process's unless given. */
  readonly env?: Environment;
}

/** Makes a call to the hub: with the study's patience where it runs already, else as it comes. */
export async function askHub<T>(
  { hubPause, signal }: { readonly hubPause?: HubPause | undefined; readonly signal: AbortSignal },
  call: (hub: HubOptions) => Promise<T>,
): Promise<T> {
  return hubPause ? await hubPause.ask(call, signal) : await call({ signal });
}

/**
 * The patience of one run of a study.
 *
 * A variable of the environment cannot change while the process runs, so a token that is written to the token file during a
 * pause (`hf auth login`) takes the place of HF_TOKEN for the rest of the run.
 */
export function openHubPause({ log, say, checkMs = TOKEN_CHECK_MS, env = processEnv }: HubPauseOptions): HubPause {
  let current = env;
  const tell = (level: Level & ("WARNING" | "INFO"), message: string, remedy = "") => {
    const details = remedy === "" ? {} : { remedy };
    const logger = log().with({ component: "hub" });
    if (level === "WARNING") logger.warning(message, details);
    else logger.info(message, details);
    say((level === "WARNING" ? `warning: ${message}` : message) + (remedy === "" ? "" : `\n  remedy: ${remedy}`));
  };
  const inFile = () => hubToken(withoutTokenVariables(env)).catch(() => undefined);

  /** Looks once more. @returns why the pause goes on, or the call's result */
  async function look<T>(call: () => Promise<T>): Promise<{ result: T } | { why: string }> {
    try {
      // First: a token file that is being written is no reason to end the trial.
      await hubToken(current);
    } catch (error) {
      if (error instanceof WinnowError) return { why: error.message };
      throw error;
    }
    try {
      return { result: await call() };
    } catch (error) {
      if (saysNoAccess(error)) return { why: (error as WinnowError).message };
      throw error;
    }
  }

  return {
    async ask(call, signal) {
      const make = () => call({ env: current, signal });
      const refused = await make().then((result) => ({ result }), (error: unknown) => {
        if (saysTokenRefused(error)) return { why: (error as WinnowError).message };
        throw error;
      });
      if ("result" in refused) return refused.result;
      const began = performance.now(), before = await inFile();
      tell("WARNING", `the study is paused: ${refused.why}`, remedyFor(current, checkMs));
      for (let why = refused.why;;) {
        await sleep(checkMs, undefined, { signal }).catch(() => signal.throwIfAborted());
        const now = await inFile();
        if (now !== undefined && now !== before) current = withoutTokenVariables(env);
        const found = await look(make);
        signal.throwIfAborted();
        if ("result" in found) {
          tell(
            "INFO",
            `the hub gives access again: the study goes on after a pause of ${span(performance.now() - began)}`,
          );
          return found.result;
        }
        if (found.why !== why) tell("WARNING", `the study stays paused: ${found.why}`, remedyFor(current, checkMs));
        else log().with({ component: "hub" }).warning(`the study stays paused: ${why}`);
        why = found.why;
      }
    },
  };
}

function remedyFor(env: Environment, checkMs: number): string {
  const path = tokenFile(env), variable = tokenVariable(env);
  if (path === undefined) {
    return `Press Ctrl-C, set ${variable ?? "HF_TOKEN"} to a valid token, and go on with \`deno task resume\``;
  }
  return `Log in with \`hf auth login\`, or write a valid token to ${path}` +
    (variable === undefined ? "" : `, which then takes the place of ${variable}`) +
    `. The study looks every ${span(checkMs)} and goes on by itself; Ctrl-C saves and ends it`;
}

/** A time for people: in minutes, or in seconds where it is short. */
const span = (milliseconds: number): string =>
  milliseconds < 120_000 ? `${Math.ceil(milliseconds / 1000)} s` : `${Math.round(milliseconds / 60_000)} minutes`;
