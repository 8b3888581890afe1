#!/usr/bin/env bash
# pyoperon 0.6.2: the node type Fmin is called fmax, prints max(...) and computes the maximum; Fmax the minimum. So
# allowed_symbols="fmin" searches with maxima.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyoperon==0.6.2 numpy==2.4.6 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
import numpy as np
import pyoperon as op

X = np.asfortranarray([[1.0, 5.0], [4.0, 2.0], [-3.0, 0.5]])
data = op.Dataset(X)
seen = {}
for name, kind in (("Fmin", op.NodeType.Fmin), ("Fmax", op.NodeType.Fmax)):
    leaves = []
    for variable in data.Variables:
        leaf = op.Node.Variable(1.0)
        leaf.HashValue = variable.Hash
        leaves.append(leaf)
    tree = op.Tree([*leaves, op.Node(kind)])
    tree.UpdateNodes()
    values = op.Evaluate(tree, data, op.Range(0, len(X)))
    seen[name] = (str(op.Node(kind).Name), [float(value) for value in values])
    print(f"NodeType.{name}: name {seen[name][0]!r}, text {op.InfixFormatter.Format(tree, data, 1)}, values {seen[name][1]}")
expected = {"Fmin": ("fmax", X.max(axis=1).tolist()), "Fmax": ("fmin", X.min(axis=1).tolist())}
if seen != expected:
    sys.exit("Changed: expected Fmin to compute the maximum and Fmax the minimum.")
print("As found: minimum and maximum are exchanged.")
PY
