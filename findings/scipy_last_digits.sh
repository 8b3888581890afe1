#!/usr/bin/env bash
# SciPy 1.17.1, least_squares(method='lm'), MINPACK: the same fit, repeated in one process, does not always give the
# same constants, since last digits depend on where arrays lie in memory. With redundant constants, as a and b in a /
# (x / b), they differ by some per cent. The methods 'trf' and 'dogbox' repeat themselves. Seen on x86-64 with
# AVX-512.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
from scipy.optimize import least_squares

x = np.random.default_rng(0).uniform(1.0, 3.0, 37)
y = 2.5 * np.exp(-0.7 * x) + 0.3
residuals = lambda p: p[0] / (x / p[1]) + p[2] * np.exp(-p[3] * x) - y
distinct = {}
for method in ("lm", "trf", "dogbox"):
    kept, found = [], {}
    for trial in range(300 if method == "lm" else 40):
        kept.append(np.empty(trial % 37 + 1))  # Moves what is allocated next.
        fit = least_squares(residuals, np.ones(4), method=method)
        found[tuple(fit.x.tolist())] = fit.cost
    distinct[method] = len(found)
    print(f"{method}: {len(found)} distinct result(s) of {trial + 1} equal fits")
    for constants, cost in found.items():
        print(f"    {[f'{value:.6f}' for value in constants]}, cost {cost:.3g}")
if distinct["lm"] < 2 or distinct["trf"] != 1 or distinct["dogbox"] != 1:
    sys.exit("Changed: expected several results from 'lm', and one from each of the others.")
print("As found: 'lm' does not repeat itself.")
PY
