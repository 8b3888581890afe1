"""`pysr-neural`: commands are found by name, errors are one line."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from pysr_neural import cli
from pysr_neural.errors import ConfigError

FAKE = "tests.core.test_cli"


def succeed(argv):
    print("ran with", argv)
    return 7


def fail(argv):
    raise ConfigError(f"There must be no {argv[0]!r}.")


def interrupt(argv):
    raise KeyboardInterrupt


@pytest.fixture
def commands(monkeypatch):
    table = {"run": "succeed", "bench.fast": "succeed", "bench.bad": "fail", "stop": "interrupt"}
    points = [EntryPoint(name, f"{FAKE}:{function}", cli.GROUP) for name, function in table.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points if group == cli.GROUP else [])


@pytest.mark.parametrize("words", [["run"], ["bench", "fast"]])
def test_a_command_gets_the_rest_of_the_arguments_and_gives_the_exit_code(commands, words, capsys):
    assert cli.main([*words, "--json", "3"]) == 7
    assert "ran with ['--json', '3']" in capsys.readouterr().out


def test_our_errors_are_one_line_and_exit_code_two(commands, capsys):
    assert cli.main(["bench", "bad", "thing"]) == 2
    assert capsys.readouterr().err == "pysr-neural: There must be no 'thing'.\n"


def test_other_errors_are_not_hidden(commands, monkeypatch):
    monkeypatch.setitem(fail.__globals__, "ConfigError", ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        cli.main(["bench", "bad", "thing"])


def test_interruption_has_its_exit_code(commands):
    assert cli.main(["stop"]) == 130


@pytest.mark.parametrize(("words", "near"), [(["rum"], "'run'"), (["bench", "fats"], "'bench fast'")])
def test_an_unknown_command_gets_a_suggestion(commands, words, near, capsys):
    assert cli.main(words) == 2
    assert f"Did you mean {near}?" in capsys.readouterr().err


def test_help_lists_commands_with_their_modules_first_lines(commands, capsys):
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert "bench fast" in text
    assert "commands are found by name" in text


def test_a_groups_help_lists_the_group_only(commands, capsys):
    assert cli.main(["bench", "--help"]) == 0
    text = capsys.readouterr().out
    assert "bench fast" in text
    assert "run" not in text.split("commands:")[1]


def test_every_declared_command_loads():
    found = cli.commands()
    assert {("demo",), ("model",), ("train",), ("bench", "proposals"), ("bench", "overhead")} <= set(found)
    for words, point in found.items():
        assert callable(point.load()), words


def test_version_and_module_run():
    command = [sys.executable, "-m", "pysr_neural", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pysr-neural 0.")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from pysr_neural.cli import main; main(['--help']); "
        "print({'torch', 'transformers', 'pysr', 'juliacall'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
