"""Parts of the tests that run side by side: what is shown, how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import parts
from tests.documents import ROOT


def python(code):
    return [sys.executable, "-c", code]


def waits_for(path):
    return f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)\n"


def test_parts_run_at_the_same_time_and_are_shown_one_after_the_other(tmp_path, capfd):
    one, two = tmp_path / "one", tmp_path / "two"
    first = python(f"print('first begins', flush=True); open({str(one)!r}, 'w'); {waits_for(two)}print('first ends')")
    second = python(f"{waits_for(one)}print('second', flush=True); open({str(two)!r}, 'w')")
    third = python("import sys; sys.stderr.write('third')")
    assert parts.side_by_side({"A": [first], "B": [second, third]}) == 0
    told = capfd.readouterr().out
    order = ["-- A --", "first begins", "first ends", "-- B --", "second", "third", "A: passed", "B: passed"]
    assert [told.index(text) for text in order] == sorted(told.index(text) for text in order)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([[0], [0]], 0), ([[0], [3]], 1), ([[2, 0], [0]], 1), ([[0], [5]], 0), ([[5, 5], [5]], 5)],
)
def test_one_status_speaks_for_all(statuses, expected, capfd):
    todo = {str(i): [python(f"raise SystemExit({each})") for each in part] for i, part in enumerate(statuses)}
    assert parts.side_by_side(todo) == expected
    assert capfd.readouterr().out.count("FAILED") == (expected == 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_the_run_ends_its_parts_and_their_children(number, tmp_path):
    names = [tmp_path / each for each in ("polite", "stubborn", "child")]
    polite, *others = (
        f"import os, time; open({str(name)!r}, 'w').write(str(os.getpid())); time.sleep(60)" for name in names
    )
    stubborn, child = (f"import signal; signal.signal(signal.SIGINT, lambda *given: None); {each}" for each in others)
    stubborn = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); {stubborn}"
    never = tmp_path / "never"
    todo = {"A": [python(stubborn)], "B": [python(polite), python(f"open({str(never)!r}, 'w')")]}
    code = f"from tests import parts; parts.GRACE = 0.5; parts.side_by_side({todo!r})"
    code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {code}"  # A job has it ignored.
    run = subprocess.Popen(python(code), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not all(name.exists() and name.read_text() for name in names) and time.monotonic() < until:
        time.sleep(0.02)
    run.send_signal(number)
    run.communicate(timeout=30)  # Until nobody holds the pipe any more, which the stubborn ones had.
    assert run.returncode != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(names[0].read_text()), 0)
    assert not never.exists()


def test_files_of_a_marker_are_found():
    julia, package = ([Path(name).name for name in parts.marked(each)] for each in ("julia", "julia_package"))
    assert package == ["test_julia_tests.py"]
    assert {"test_search.py", "test_readme.py", "test_docs.py", "test_methods.py"} <= set(julia)
    assert "test_parts.py" not in julia
    assert "test_node.py" not in julia
