#!/usr/bin/env bash
# pyarrow 26.0.1: of 1, NaN, 3 the compute functions max, min and min_max skip NaN, while sum, mean and stddev
# propagate it; NaN is no null, null_count is 0 and skip_nulls=False changes nothing. NumPy propagates in all. A
# maximum that is finite does not tell that a column is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 numpy==2.4.6 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import math
import sys
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

values = pa.array([1.0, float("nan"), 3.0])
seen = {name: getattr(pc, name)(values).as_py() for name in ("max", "min", "sum", "mean", "stddev")}
kept = pc.max(values, skip_nulls=False).as_py()
print(f"null_count {values.null_count}; {seen}; max with skip_nulls=False {kept}")
print(f"NumPy: max {np.max(values.to_numpy())}, min {np.min(values.to_numpy())}, sum {np.sum(values.to_numpy())}")
skipped = (seen["max"], seen["min"], kept) == (3.0, 1.0, 3.0)
if not skipped or not all(math.isnan(seen[name]) for name in ("sum", "mean", "stddev")) or values.null_count:
    sys.exit("Changed: expected max and min to skip NaN, sum, mean and stddev to propagate it.")
print("As found: extremes skip NaN, sums do not.")
PY
