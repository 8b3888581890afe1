#!/usr/bin/env bash
# Importing dask-jobqueue 0.9.0 replaces the process's handler of SIGINT: Ctrl-C no longer raises KeyboardInterrupt but
# ends the process with status 0, so that what was to be saved on Ctrl-C is not, and a script takes the run for a whole one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check dask-jobqueue==0.9.0 distributed==2026.8.0 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
cat > "$work/script.py" <<'PY'
import os, signal, sys, time
if sys.argv[1] == "with":
    import dask_jobqueue
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("saved what there was")
    sys.exit(130)
PY
for how in without with; do
    status=0
    said=$("$work/env/bin/python" "$work/script.py" "$how") || status=$?
    echo "$how the import: status $status, '$said'"
    results="${results:-}$status:$said;"
done
[ "$results" = "130:saved what there was;0:;" ] || { echo "Changed: $results"; exit 1; }
echo "As found: the import takes Ctrl-C away."
