"""Signals of commands in which Julia takes part: engines that block as Julia does in compiling stand in for it."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and process groups")

PARENT = """
import sys
from pysr_neural_baseline.fitting import attended
attended.GRACE[attended.STARTING] = 0.5
sys.exit(attended.attend(sys.argv[1:]))
"""
CHILD = """
import os, signal, subprocess, sys, time
from pysr_neural_baseline.fitting.attended import CONCLUDING, SAID, SEARCHING, attached
tell = attached()
def say(*words):
    print(*words, flush=True)
def deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
"""
DEAF_START = """
deaf()
say("ready", os.getpid(), subprocess.Popen(["sleep", "60"]).pid)
time.sleep(60)
"""
SEARCH = """
tell(SEARCHING)
try:
    say("ready", os.getpid())
    time.sleep(60)
except KeyboardInterrupt:
    tell(CONCLUDING)
    say("the front")
    tell(SAID)
    sys.exit(7)
"""
SLOW_WRITING = """
tell(CONCLUDING)
say("ready", os.getpid())
for words in ("intervals", "page"):
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        say("without", words)
deaf()
say("deaf")
time.sleep(60)
"""


@pytest.fixture
def attended():
    """Start a process that attends to another; returns it, and the ids that the other one tells."""
    started = []

    def heard():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # A shell's background jobs have it ignored.

    def start(child, **given):
        command = [sys.executable, "-c", PARENT, sys.executable, "-c", CHILD + child]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **{"preexec_fn": heard, **given}
        )
        started.append(process)
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], process.stderr.read()
        return process, [int(word) for word in words[1:]]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lives(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends_within(seconds, *numbers):
    until = time.monotonic() + seconds
    while any(map(lives, numbers)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(lives, numbers))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_hears_nothing_is_ended_within_seconds_with_all_that_it_began(attended, number):
    process, others = attended(DEAF_START)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "nothing was found yet, nothing was written" in errors
    assert ends_within(10, *others)


def test_sigterm_in_a_search_is_passed_on_as_ctrl_c(attended):
    process, _ = attended(SEARCH)
    process.terminate()
    out, errors = process.communicate(timeout=50)
    assert (process.returncode, out, errors) == (130, "the front\n", "")


def test_a_shell_that_has_ctrl_c_ignored_changes_nothing(attended):
    process, _ = attended(SEARCH, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.terminate()
    assert process.communicate(timeout=50)[0] == "the front\n"


def test_a_second_signal_hurries_and_a_third_ends(attended):
    process, (other,) = attended(SLOW_WRITING)
    for words in ("without intervals", "without page"):
        process.terminate()
        assert process.stdout.readline().strip() == words
    assert process.stdout.readline().strip() == "deaf"
    process.terminate()
    _, errors = process.communicate(timeout=50)
    assert "Ended before all was written" in errors
    assert ends_within(10, other)


def test_without_a_signal_the_exit_status_is_passed_on(attended):
    process, _ = attended("say('ready'); raise SystemExit(5)")
    assert process.wait(timeout=50) == 5


def test_a_process_whose_other_one_is_killed_ends_as_by_ctrl_c(attended):
    process, (other,) = attended(SEARCH)
    process.kill()
    assert ends_within(30, other)
    assert process.stdout.read() == "the front\n"


def test_a_fit_in_which_julia_may_start_is_attended_to(monkeypatch):
    from pysr_neural_baseline.fitting import command

    begun = []
    monkeypatch.setattr(command, "attend", lambda given, advice: begun.append(given) or 3)
    monkeypatch.setattr(command, "julia_available", lambda: True)
    for engine in ("pysr", "auto"):
        assert command.main(["data.csv", "--target", "y", "--engine", engine]) == 3
        assert begun.pop()[1:] == ["-P", "-m", command.__name__, "data.csv", "--target", "y", "--engine", engine]
