/**
 * The alphabet of byte-level BPE: a printable character for each byte, so that "Ġ" is a space and "Ċ" a line feed. From
 * GPT-2's `bytes_to_unicode` (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019).
 */

/** [256] the character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

function byteCharacters(): string[] {
  const characters: string[] = [];
  let spare = 0x100;
  for (let byte = 0; byte < 0x100; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    characters.push(String.fromCharCode(printable ? byte : spare++));
  }
  return characters;
}

/** The text that a token stands for; undefined when its bytes are a part of a character, or are no bytes at all. */
export function textOfToken(token: string): string | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTES.get(token[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
