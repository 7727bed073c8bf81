#!/usr/bin/env bash
# Tests the kernels and runs all benchmark suites on a GPU machine, with PyTorch on its GPU beside them, in one command:
#
#   scripts/gpu_suite.sh [FOLDER] [--allow-cpu]
#
# FOLDER (bench-gpu unless given) receives machine.txt, adapter.json, tests.log, results.jsonl (a line of JSON per suite) and
# results.md (a table of them). What is missing is installed first. Refuses an adapter that is the processor; --allow-cpu
# runs there in tiny sizes, to test this script. Exit code 1 where a test or a suite failed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.cache/tools/bin:$PATH"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}" DENO_WEBGPU_BACKEND="${DENO_WEBGPU_BACKEND:-vulkan}" NO_COLOR=1

folder=bench-gpu allow_cpu=()
for argument in "$@"; do
  case "$argument" in
    --allow-cpu) allow_cpu=(--allow-cpu) ;;
    -*)
      printf 'error: unknown option %s\n  remedy: scripts/gpu_suite.sh [FOLDER] [--allow-cpu]\n' "$argument" >&2
      exit 2
      ;;
    *) folder=$argument ;;
  esac
done
mkdir -p "$folder"

# MLflow is no peer of anything here.
WINNOW_MLFLOW_PYTHON="${WINNOW_MLFLOW_PYTHON:-unused}" scripts/setup.sh --peers
export WINNOW_PYTHON="${WINNOW_PYTHON:-$PWD/.venv/bin/python}"
deno run --no-prompt -P=bench bench/adapter.ts "${allow_cpu[@]}" | tee "$folder/adapter.json"
is_cpu=$(grep -q '"isSoftware":true' "$folder/adapter.json" && echo yes || echo no)
torch_device=$("$WINNOW_PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
{
  date -u
  deno --version
  "$WINNOW_PYTHON" -c 'import torch; print("torch", torch.__version__)'
  git rev-parse HEAD 2>/dev/null || true
  nvidia-smi 2>/dev/null || true
} >"$folder/machine.txt"

# The tests that run kernels: every op and model against PyTorch's values, and products against f64.
tests=(tests/integration/{gemm,ops_golden,optimizers_golden}_test.ts)
size=(--small)
if [ "$is_cpu" = no ]; then
  tests+=(
    tests/integration/{head_ops,head_ops_golden,losses_golden,crf_golden,spans_golden,golden_model,finite_difference}_test.ts
    tests/integration/{dropout,engine,half_precision,recompute,regularization,accumulation,memory_choices}_test.ts
    tests/interop/{half_ops,encoder_families}_test.ts
  )
  size=(--large)
fi
failed=0
deno test -P=test --no-prompt "${tests[@]}" 2>&1 | tee "$folder/tests.log" || failed=1
deno task --quiet bench --out "$folder/results.jsonl" --table "$folder/results.md" --torch-device "$torch_device" \
  "${size[@]}" || failed=1
cat "$folder/results.md"
exit "$failed"
