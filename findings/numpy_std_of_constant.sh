#!/usr/bin/env bash
# NumPy 2.4.6 and pandas 3.1.1: the standard deviation of equal values is not always 0. Of 60 times 0.1 it is 4.2e-17,
# of 10 times 0.1 it is 0: the mean is rounded, and its error comes back as a deviation. A test std == 0 does not find
# constant columns; max == min does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
import pandas as pd

deviations = {count: float(np.std(np.full(count, 0.1))) for count in (8, 10, 59, 60, 64, 100)}
for count, deviation in deviations.items():
    print(f"{count:4} times 0.1: standard deviation {deviation:.2e}, max - min {np.ptp(np.full(count, 0.1))}")
frame = float(pd.Series(np.full(60, 0.1)).std(ddof=0))
print(f"pandas, 60 times 0.1: {frame:.2e}, distinct values {pd.Series(np.full(60, 0.1)).nunique()}")
if deviations[10] != 0 or not 0 < deviations[60] < 1e-16 or not 0 < frame < 1e-16:
    sys.exit("Changed: expected 0 for 10 values, and about 4e-17 for 60.")
print("As found: equal values can have a deviation.")
PY
