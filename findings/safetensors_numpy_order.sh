#!/usr/bin/env bash
# safetensors 0.8.0 with NumPy: save_file of an array that is not C-contiguous, such as a transposed one, writes the
# values in the order of memory under the transposed shape, without a word: what is loaded has the right shape and
# other values. With PyTorch the same input is refused. np.ascontiguousarray before saving helps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
from safetensors.numpy import load, load_file, save, save_file

original = np.arange(6.0).reshape(2, 3).T
save_file({"a": original}, "transposed.safetensors")
loaded = load_file("transposed.safetensors")["a"]
print(f"saved {original.tolist()}, loaded {loaded.tolist()}")
again = load(save({"a": np.ascontiguousarray(original)}))["a"]
print(f"made contiguous first: loaded {again.tolist()}")
if loaded.shape != (3, 2) or np.array_equal(loaded, original) or not np.array_equal(again, original):
    sys.exit("Changed: expected other values from the transposed array, the same from the contiguous one.")
print("As found: a transposed array is not what comes back.")
PY
