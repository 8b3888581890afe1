#!/usr/bin/env bash
# SymPy 1.14.0: the LaTeX of a symbol can be that of another expression. Symbol('yabs') prints as the absolute value
# of y, Symbol('x__2') as the square of x, Symbol('x1') and Symbol('x_1') alike, Symbol('what') as a w with a hat; and
# the per cent sign of Symbol('50%') is not escaped, so that TeX drops the rest of the line.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check sympy==1.14.0 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
from sympy import Abs, Symbol, latex

x, y = Symbol("x"), Symbol("y")
expected = {
    "yabs": r"\left|{y}\right|", "x__2": "x^{2}", "x1": "x_{1}", "x_1": "x_{1}", "what": r"\hat{w}", "50%": "50%",
}
seen = {name: latex(Symbol(name)) for name in expected}
for name, text in seen.items():
    print(f"Symbol({name!r}): {text}")
print(f"Abs(y): {latex(Abs(y))}; x**2: {latex(x**2)}")
if seen != expected or latex(x**2) != seen["x__2"] or latex(Abs(y)) != seen["yabs"]:
    sys.exit(f"Changed: expected {expected}.")
print("As found: names are read as mathematics.")
PY
