#!/usr/bin/env bash
# SciPy 1.17.1: fitting c in x + c to x + 1e10 from c = 1 returns the start, c = 1, and reports success: least_squares
# with trf and lm, and leastsq (ier = 4); curve_fit warns of the covariance only. The forward difference of the
# residuals, whose step is relative to c, is lost beside their size, so that the derivative is 0. With the exact
# derivative it stops at c = 2, after one step of the first trust region, since the cost fell by less than ftol of
# itself; success as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import warnings
import numpy as np
from scipy.optimize import curve_fit, least_squares, leastsq

x = np.linspace(0.0, 1.0, 20)
residuals = lambda c: x + c[0] - (x + 1e10)
found = {}
for name, options in (("trf", {}), ("lm", {"method": "lm"})):
    fit = least_squares(residuals, [1.0], **options)
    found[name] = (float(fit.x[0]), bool(fit.success))
    print(f"least_squares, {name}: c = {fit.x[0]}, success {fit.success}, cost {fit.cost:.3g}: {fit.message}")
c, _, _, message, code = leastsq(residuals, [1.0], full_output=True)
found["leastsq"] = (float(c[0]), code in (1, 2, 3, 4))
print(f"leastsq: c = {c[0]}, ier {code}: {' '.join(message.split())}")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    c, _ = curve_fit(lambda x, c: x + c, x, x + 1e10, p0=[1.0])
found["curve_fit"] = (float(c[0]), True)
print(f"curve_fit: c = {c[0]}, no exception")
exact = least_squares(residuals, [1.0], jac=lambda c: np.ones((20, 1)))
print(f"least_squares with the exact derivative: c = {exact.x[0]}, success {exact.success}: {exact.message}")
if any(each != (1.0, True) for each in found.values()) or not exact.success or exact.x[0] > 1e9:
    sys.exit(f"Changed: expected the start and success from all, and no 1e10 with the exact derivative; got {found}.")
print("As found: the start comes back as a success.")
PY
