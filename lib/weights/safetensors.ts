/** The safetensors format: https://github.com/huggingface/safetensors */
export type { TensorInfo } from "./safetensors_header.ts";
export { openSafetensors, openSafetensorsFolder, type SafetensorsFile } from "./safetensors_reader.ts";
export { type TensorToWrite, writeSafetensors } from "./safetensors_writer.ts";
