/**
 * One event, two outputs: a line of JSON for programs and a line of text for people, both with secrets masked.
 *
 * Writing is synchronous and a few microseconds long, so a crash of the process loses nothing that was logged.
 */

import { join } from "node:path";
import { diskFileSystem, makeFoldersSync } from "./file_system.ts";
import { type LogFileOptions, openLogFile } from "./log_file.ts";
import { maskData } from "./masking.ts";

/** How much an event matters. */
export type Level = "DEBUG" | "INFO" | "WARNING" | "ERROR";

/** What happened, where and when. */
export interface LogEvent {
  /** ISO 8601 in UTC. */
  time: string;
  level: Level;
  /** The part of the system: "trainer", "checkpoint", "hub". */
  component: string;
  trial?: string;
  /** Optimizer steps done. */
  step?: number;
  message: string;
  /** Details as plain data. Never the text of a post. */
  context: Record<string, unknown>;
}

/** Where events go. */
export type Sink = (event: LogEvent) => void;

/** Details of one event; `trial` and `step` become fields of their own. */
export interface Details {
  trial?: string;
  step?: number;
  [key: string]: unknown;
}

/** Logs events of one component. */
export interface Logger {
  debug(message: string, details?: Details): void;
  info(message: string, details?: Details): void;
  warning(message: string, details?: Details): void;
  error(message: string, details?: Details): void;
  /** A logger of another component or trial with the same outputs. */
  with(fields: { component?: string; trial?: string }): Logger;
}

/** `2026-01-31 12:00:00 WARNING trainer [trial 4f1c step 12] message key=value` */
export function formatEvent(event: LogEvent): string {
  const place = [
    ...(event.trial === undefined ? [] : [`trial ${event.trial.slice(0, 8)}`]),
    ...(event.step === undefined ? [] : [`step ${event.step}`]),
  ];
  const details = Object.entries(event.context)
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const parts = [
    event.time.slice(0, 19).replace("T", " "),
    event.level.padEnd(7),
    event.component,
    ...(place.length > 0 ? [`[${place.join(" ")}]`] : []),
    event.message,
    ...details,
  ];
  // One event is one line, whatever a message of another program holds.
  return parts.join(" ").replaceAll(/\s*[\r\n]+\s*/g, " | ");
}

/** A logger that sends masked events to every sink. */
export function createLogger(
  sinks: readonly Sink[],
  fields: { component: string; trial?: string } = { component: "winnow" },
): Logger {
  const log = (level: Level) => (message: string, { step, trial, ...context }: Details = {}) => {
    const chosenTrial = trial ?? fields.trial;
    const event = maskData({
      time: new Date().toISOString(),
      level,
      component: fields.component,
      ...(chosenTrial === undefined ? {} : { trial: chosenTrial }),
      ...(step === undefined ? {} : { step }),
      message,
      context,
    }) as LogEvent;
    for (const sink of sinks) sink(event);
  };
  return {
    debug: log("DEBUG"),
    info: log("INFO"),
    warning: log("WARNING"),
    error: log("ERROR"),
    with: (more) => createLogger(sinks, { ...fields, ...more }),
  };
}

/**
 * The two log files of a folder, `training.jsonl` and `stdout.log`, opened for appending. They are rotated by day and size
 * (log_file.ts); `close` tells how many bytes a full disk has refused to the end.
 *
 * @throws the file system's error where the folder cannot be written
 */
export function openLogFiles(folder: string, options: LogFileOptions = {}): { sink: Sink; close(): number } {
  makeFoldersSync(folder, options.fs ?? diskFileSystem);
  const lines = openLogFile(join(folder, "training.jsonl"), options);
  const text = openLogFile(join(folder, "stdout.log"), options);
  return {
    sink: (event) => {
      lines.append(JSON.stringify(event) + "\n");
      text.append(formatEvent(event) + "\n");
    },
    close: () => lines.close() + text.close(),
  };
}
