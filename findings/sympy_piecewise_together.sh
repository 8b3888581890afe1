#!/usr/bin/env bash
# SymPy 1.14.0: subs() of a number into a Piecewise gives the value of the branch that holds, and the same
# substitution with simultaneous=True (or xreplace) raises TypeError: it also builds the conditions of later branches,
# which need not be real there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check sympy==1.14.0 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
from sympy import Float, Piecewise, Symbol

x = Symbol("x")
expression = Piecewise((0, x < 0), (1, x ** Float(0.5) > 2), (2, True))
print(expression)
one = expression.subs(x, Float(-4.0))
print(f"subs(x, -4.0): {one}")
messages = []
for name, substitute in (
    ("subs({x: -4.0}, simultaneous=True)", lambda: expression.subs({x: Float(-4.0)}, simultaneous=True)),
    ("xreplace({x: -4.0})", lambda: expression.xreplace({x: Float(-4.0)})),
):
    try:
        messages.append(f"{name}: {substitute()}")
    except TypeError as error:
        messages.append(f"{name}: TypeError: {error}")
    print(messages[-1])
if one != 0 or not all("Invalid comparison of non-real" in message for message in messages):
    sys.exit("Changed: expected 0 by subs, TypeError by the others.")
print("As found: the same substitution gives a value or an exception.")
PY
