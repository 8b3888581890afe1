#!/usr/bin/env bash
# RILS-ROLS 1.6.7 finds y = 1e-7 x, predicts it to the last digits, and gives 0.000000*x0 as its formula, simplified 0:
# constants are printed with six digits behind the point, whatever their size. So what is read from the text is another
# formula.
# Compiles the package: needs a C++ compiler.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pybind11==3.1.0 setuptools wheel numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1 sympy==1.14.0 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
"$work/env/bin/pip" install --quiet --disable-pip-version-check --no-build-isolation --no-deps rils-rols==1.6.7 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
from rils_rols.rils_rols import RILSROLSRegressor

X = np.random.default_rng(0).uniform(1.0, 2.0, (60, 1))
y = 1e-7 * X[:, 0]
model = RILSROLSRegressor(max_fit_calls=2000, max_time=5, random_state=1)
model.fit(X, y)
texts = (str(model.model), str(model.model_string()))
left = float(np.mean((model.predict(X) - y) ** 2) / np.var(y))
print(f"y = 1e-7 x: formula {texts[0]}, simplified {texts[1]}; unexplained by predict() {left:.1e}")
if texts != ("(0.000000*x0)", "0") or left > 1e-12:
    sys.exit("Changed: expected predictions to be right and the formula to be (0.000000*x0), simplified 0.")
print("As found: the formula is zero, the predictions are not.")
PY
