#!/usr/bin/env bash
# gplearn 0.4.3 prints log(X0) and div(X0, X1) for what it calculates as log|X0| (0 near 0) and a quotient that is 1
# wherever the divisor is nearer to 0 than 0.001. The printed text says nothing of either, so that a formula read from
# it gives other numbers than predict().
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check gplearn==0.4.3 scikit-learn==1.9.1 numpy==2.4.6 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
from gplearn.genetic import SymbolicRegressor

def fitted(function, X, y):
    search = SymbolicRegressor(
        population_size=300, generations=3, function_set=(function,), const_range=None, random_state=0,
        init_depth=(1, 2), parsimony_coefficient=0.01,
    )
    return search.fit(X, y)

rng = np.random.default_rng(0)
X = rng.uniform(0.5, 3.0, (100, 1))
model = fitted("log", X, np.log(X[:, 0]))
log = (str(model._program), float(model.predict([[-2.0]])[0]), float(model.predict([[1e-4]])[0]))
print(f"text {log[0]}; at -2 it predicts {log[1]:.6f} = log 2, at 0.0001 {log[2]:.6f} (log: {np.log(1e-4):.6f})")
X = rng.uniform(0.5, 3.0, (100, 2))
model = fitted("div", X, X[:, 0] / X[:, 1])
div = (str(model._program), float(model.predict([[3.0, 0.0005]])[0]))
print(f"text {div[0]}; at (3, 0.0005) it predicts {div[1]:.6f}, the quotient is {3.0 / 0.0005:.6f}")
if log != ("log(X0)", float(np.log(2.0)), 0.0) or "div(X0, X1)" not in div[0] or div[1] != 1.0:
    sys.exit("Changed: expected log(X0) to give log 2 at -2 and 0 at 0.0001, div(X0, X1) to give 1 at (3, 0.0005).")
print("As found: the text is not what is calculated.")
PY
