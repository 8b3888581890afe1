#!/usr/bin/env bash
# pyoperon 0.6.2 counts no evaluations when it searches with two objectives: after five generations of a hundred
# individuals stats_ says 0, with one objective what was evaluated. So a limit of evaluations, or a comparison by them,
# means nothing there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyoperon==0.6.2 numpy==2.4.6 scikit-learn==1.9.1 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
from pyoperon.sklearn import SymbolicRegressor

X = np.random.default_rng(0).uniform(1.0, 2.0, (60, 2))
y = np.sin(X[:, 0]) * X[:, 1] + np.exp(X[:, 1])
seen = []
for objectives in (["mse"], ["mse", "length"]):
    model = SymbolicRegressor(
        objectives=objectives, generations=5, population_size=100, pool_size=100, n_threads=1, random_state=1,
        max_evaluations=10**9,
    )
    model.fit(X, y)
    seen.append((model.stats_["generations"], model.stats_["evaluation_count"]))
    print(f"objectives {objectives}: {seen[-1][0]} generations, {seen[-1][1]} evaluations")
(one, counted), (two, nothing) = seen
if not (one == two == 5 and counted >= 500 and nothing == 0):
    sys.exit("Changed: expected 500 evaluations or more with one objective, and 0 with two.")
print("As found: with two objectives nothing is counted.")
PY
