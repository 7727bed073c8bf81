"""Python's huggingface_hub beside our hub client. One JSON object in on stdin, one out on stdout.

fetch:   {"endpoint", "token", "cache", "repo", "type", "files"} -> folder of a snapshot downloaded into the cache, or of
         some of its files one by one
offline: {"cache", "repo", "type", "file"} -> what the cache holds, without network: snapshot, path of the file, refs,
         files, partial files, warnings
lock:    {"cache", "repo", "hash", "flag", "seconds"} -> holds the lock of a blob for a while, with the flag file to show it
"""

import json
import os
import sys
import time
from pathlib import Path

request = json.load(sys.stdin)
os.environ["HF_ENDPOINT"] = request.pop("endpoint", "http://127.0.0.1:9")
os.environ["HF_HOME"] = os.path.join(request["cache"], "..", "home")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
    os.environ.pop(name, None)

from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download  # noqa: E402
from huggingface_hub.utils import WeakFileLock  # noqa: E402


def fetch(cache, repo, type, files=None, token=None):
    where = {"repo_type": type, "cache_dir": cache, "token": token or False}
    if files is None:
        return snapshot_download(repo, **where)
    for file in files:
        path = hf_hub_download(repo, file, **where)
    return path[: -len(file) - 1]


def offline(cache, repo, type, file):
    where = {"repo_type": type, "cache_dir": cache, "local_files_only": True}
    info = scan_cache_dir(cache)
    revisions = [revision for found in info.repos for revision in found.revisions]
    try:
        snapshot = snapshot_download(repo, **where)
    except Exception as error:
        snapshot = type_name(error)
    return {
        "snapshot": snapshot,
        "file": hf_hub_download(repo, file, **where),
        "refs": [sorted(revision.refs) for revision in revisions],
        "files": sorted(str(f.file_path.relative_to(r.snapshot_path)) for r in revisions for f in r.files),
        "incomplete": [f.size_on_disk for f in info.incomplete_files],
        "warnings": [str(warning) for warning in info.warnings],
    }


def type_name(error):
    return error.__class__.__name__


def lock(cache, repo, hash, flag, seconds):
    path = Path(cache, ".locks", repo, f"{hash}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path):
        Path(flag).touch()
        time.sleep(seconds)
        Path(flag).unlink()


json.dump({"fetch": fetch, "offline": offline, "lock": lock}[sys.argv[1]](**request), sys.stdout)
