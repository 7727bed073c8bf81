"""Python's side of the safetensors tests. One JSON object in on stdin, one out on stdout.

read:  {"path"} -> {"metadata", "tensors": {name: {"shape", "sha256" of the float32 bytes}}} in the order of the file
write: {"path"} -> the same of a file written here: float32, float16, bfloat16 and float64 tensors
cache: {"cache", "repo", "commit"} -> files that huggingface_hub finds in a cache, offline, and its warnings
"""

import hashlib
import json
import sys


def describe(path):
    import torch
    from safetensors import safe_open

    tensors = {}
    with safe_open(path, framework="pt") as file:
        for name in file.offset_keys():
            tensor = file.get_tensor(name).to(torch.float32).contiguous()
            digest = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
            tensors[name] = {"shape": list(tensor.shape), "sha256": digest}
        return {"metadata": file.metadata() or {}, "tensors": tensors}


def write(path):
    import torch
    from safetensors.torch import save_file

    values = torch.randn(1000, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values[0, :6] = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), 1e-7, 65504.0])
    types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}
    tensors = {name: values.to(dtype) for name, dtype in types.items()}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 3)
    tensors["ids"] = torch.arange(5)
    save_file(tensors, path, metadata={"format": "pt"})
    return describe(path)


def cache(cache, repo, commit):
    from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache

    info = scan_cache_dir(cache)
    return {
        "snapshot": snapshot_download(repo, cache_dir=cache, local_files_only=True),
        "config": try_to_load_from_cache(repo, "config.json", cache_dir=cache),
        "refs": [sorted(revision.refs) for found in info.repos for revision in found.revisions],
        "files": sorted(f.file_name for found in info.repos for revision in found.revisions for f in revision.files),
        "warnings": [str(warning) for warning in info.warnings],
    }


request = json.load(sys.stdin)
command = {"read": describe, "write": write, "cache": cache}[sys.argv[1]]
json.dump(command(**request), sys.stdout)
