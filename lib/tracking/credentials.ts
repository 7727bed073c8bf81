/**
 * What a request to a tracking server is signed with: a bearer token from the environment, a file or a command, or a user
 * name and a password. Files and commands are asked again when the server no longer takes what they gave. None of it
 * ever stands in a message.
 */
import { inputError } from "../support/errors.ts";

/** Reads a variable of the environment. */
export type Environment = (name: string) => string | undefined;

/** Where the token comes from, where it does not come from the environment. */
export interface TokenSources {
  readonly tokenFile: string | null;
  /** Program and arguments; no shell is between. */
  readonly tokenCommand: readonly string[] | null;
}

/** Signs requests. */
export interface Credentials {
  /** The Authorization header, undefined where there is nothing to sign with. */
  header(): Promise<string | undefined>;
  /** Called when the server refuses the header: asks again. False where that gives nothing new. */
  renew(): Promise<boolean>;
  /** The text with every secret in it replaced. */
  mask(text: string): string;
}

/** How long a token command may take. */
const COMMAND_TIMEOUT_MS = 60_000;

/**
 * The credentials of the configuration and the environment: `tracking.token_command`, `tracking.token_file`,
 * MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME with MLFLOW_TRACKING_PASSWORD, the first that there is.
 */
export function openCredentials(sources: TokenSources, env: Environment): Credentials {
  const { tokenFile, tokenCommand } = sources;
  const secrets = new Set<string>();
  const keep = (secret: string) => {
    secrets.add(secret);
    return secret;
  };
  const mask = (text: string) => [...secrets].reduce((masked, secret) => masked.replaceAll(secret, "***"), text);
  const ask = async (): Promise<string | undefined> => {
    if (tokenCommand !== null) return `Bearer ${keep(await runCommand(tokenCommand))}`;
    if (tokenFile !== null) return `Bearer ${keep(await readFile(tokenFile))}`;
    const token = env("MLFLOW_TRACKING_TOKEN")?.trim();
    if (token) return `Bearer ${keep(checkToken(token, "MLFLOW_TRACKING_TOKEN"))}`;
    const user = env("MLFLOW_TRACKING_USERNAME"), password = env("MLFLOW_TRACKING_PASSWORD");
    if (!user) return undefined;
    if (password) keep(password);
    return `Basic ${keep(base64(`${user}:${password ?? ""}`))}`;
  };
  let known: { header: string | undefined } | undefined;
  return {
    mask,
    header: async () => (known ??= { header: await ask() }).header,
    renew: async () => {
      if (tokenCommand === null && tokenFile === null) return false;
      const header = await ask();
      const isNew = header !== known?.header;
      known = { header };
      return isNew;
    },
  };
}

/** Base64 of the UTF-8 bytes of a text. */
const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** A token goes into a header; the message of a header that cannot be sent would show it. */
function checkToken(token: string, where: string): string {
  if (/^[\x21-\x7e]{1,16384}$/.test(token)) return token;
  throw inputError(`${where} gives no token: one line without spaces was expected`, "Let it give the token alone");
}

async function readFile(path: string): Promise<string> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const why = (error as Error).name === "NotFound" ? "is missing" : "cannot be read";
    throw inputError(`the token file ${path} ${why}`, "Write the token there, or set tracking.token_file", {
      cause: error,
    });
  }
  return checkToken(text.trim(), `the token file ${path}`);
}

async function runCommand([program, ...args]: readonly string[]): Promise<string> {
  const what = `the token command ${program}`;
  let output: Deno.CommandOutput;
  try {
    const signal = AbortSignal.timeout(COMMAND_TIMEOUT_MS);
    output = await new Deno.Command(program!, { args, stdin: "null", stdout: "piped", stderr: "null", signal })
      .output();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw inputError(
        `${what} may not be started: Winnow's tasks may start no programs`,
        `Allow it: DENO_WEBGPU_BACKEND=vulkan deno run --no-prompt -P=train --allow-run=${program} scripts/train.ts ..., ` +
          "or let a timer write the token to a file and set tracking.token_file",
        { cause: error },
      );
    }
    throw inputError(`${what} cannot be started`, "Name an executable file in tracking.token_command", {
      cause: error,
    });
  }
  // Its output may hold a token even then, so it is not shown.
  if (!output.success) throw inputError(`${what} ended with code ${output.code}`, "Run it by hand to see why");
  return checkToken(new TextDecoder().decode(output.stdout).trim(), what);
}
