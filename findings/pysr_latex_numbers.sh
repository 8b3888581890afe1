#!/usr/bin/env bash
# PySR 2.7.2: latex() rounds constants to three significant digits with SymPy's full_prec=True: 123.456 x0 becomes
# "123. x_{0}", with a point and nothing behind it, and a whole exponent becomes x_{0}^{2.00}. Only the module that
# writes LaTeX is loaded here, since importing PySR starts Julia.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check sympy==1.14.0 pandas==3.1.1 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
"$work/env/bin/pip" install --quiet --disable-pip-version-check --no-deps pysr==2.7.2 2>"$work/pip.log"
cd "$work"
"$work/env/bin/python" - <<'PY'
import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path
import sympy

folder = Path(importlib.util.find_spec("pysr").submodule_search_locations[0])
spec = importlib.util.spec_from_file_location("export_latex", folder / "export_latex.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(f"PySR {version('pysr')}, SymPy {version('sympy')}")
expected = {
    "123.456*x0": "123. x_{0}", "x0**2.0": "x_{0}^{2.00}", "299792458.0*x0": r"3.00 \cdot 10^{8} x_{0}",
    "x0*x0": "x_{0} x_{0}",
}
names = {"x0": sympy.Symbol("x0")}
seen = {text: module.sympy2latex(sympy.sympify(text, locals=names, evaluate=False)) for text in expected}
for text, latex in seen.items():
    print(f"{text}: {latex}")
if seen != expected:
    sys.exit(f"Changed: expected {expected}.")
print("As found: a point without digits, and exponents with two.")
PY
