/** Secrets and personal addresses out of everything that is written down. */

const MASK = "***";

/**
 * What is replaced, in this order. The patterns stop at white space, quotes and commas, so that the text around a
 * secret stays readable; none of them backtracks over a long text.
 */
const PATTERNS: readonly [RegExp, string][] = [
  // user:password@ in a URL, also with an empty user
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s"'@/]{1,500}@/gi, `$1${MASK}@`],
  // Authorization headers; elsewhere "bearer" is a word, so what follows must look like a token
  [/(authorization["']?\s{0,3}[=:]\s{0,3}["']?(?:bearer|basic)\s{1,3})[^\s"',;]+/gi, `$1${MASK}`],
  [/\b(bearer\s{1,3})(?=[a-z]{0,200}[\d._~+/=-])[\w.~+/=-]{8,}/gi, `$1${MASK}`],
  // Hugging Face, OpenAI-like, GitHub, GitLab, AWS, Google, Slack, npm, PyPI and Databricks keys by their prefix
  [/\b(?:hf_|api_org_|sk-|gh[opsur]_|github_pat_|glpat-|AKIA|ASIA|AIza|xox[abeprs]-|npm_|pypi-|dapi)[\w-]{8,}/g, MASK],
  // JSON Web Tokens: two or three parts of base64url, the first of which is a JSON object
  [/\beyJ[\w-]{8,2000}\.[\w-]{4,8000}(?:\.[\w-]{0,2000})?/g, MASK],
  // token=..., "password": "...", api_key: ...
  [
    /((?:token|password|passwd|passphrase|secret|credentials?|(?:api|access|private|account)[_-]?key|authorization)["']?\s{0,3}[=:]\s{0,3}["']?)(?!\*\*\*|bearer|basic)[^\s"',;&}]{4,}/gi,
    `$1${MASK}`,
  ],
  [/[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g, MASK],
];

/** The text with tokens, API keys, passwords in URLs, authorization headers and e-mail addresses replaced by `***`. */
export function maskSecrets(text: string): string {
  return PATTERNS.reduce((masked, [pattern, replacement]) => masked.replace(pattern, replacement), text);
}

/** Keys whose text is a secret whatever it looks like; a tokenizer's `mask_token` and its like are none. */
const SECRET_KEY =
  /^(?!(?:pad|cls|sep|mask|unk|bos|eos)_token$).*(?:token|password|passwd|passphrase|secret|credentials?|(?:api|access|private|account)[_-]?key|authorization)$/i;

/**
 * A copy of plain data with every text in it masked, keys included, and every text under a key such as `password`; errors
 * become their masked message.
 */
export function maskData(data: unknown): unknown {
  if (typeof data === "string") return maskSecrets(data);
  if (typeof data === "bigint") return String(data);
  if (Array.isArray(data)) return data.map(maskData);
  if (data instanceof Error) return maskSecrets(`${data.name}: ${data.message}`);
  if (typeof data === "object" && data !== null) {
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [
        maskSecrets(key),
        typeof value === "string" && value !== "" && SECRET_KEY.test(key) ? MASK : maskData(value),
      ]),
    );
  }
  return data;
}
