import subprocess
import sys
import types

import pytest

from pysr_neural.errors import EngineUnavailableError
from pysr_neural.interop import julia as boot_module


def test_the_julia_package_is_found():
    folder = boot_module.package_folder()
    assert folder.name == "NeuralProposer"
    assert (folder / "src" / "NeuralProposer.jl").is_file()


def test_a_missing_julia_package_is_explained(monkeypatch):
    monkeypatch.setattr(boot_module, "PACKAGE", "Elsewhere")
    with pytest.raises(EngineUnavailableError, match="Install pysr_neural again"):
        boot_module.package_folder()


def test_availability_follows_the_offline_variables(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "pysr", raising=False)
    julia = tmp_path / "julia"
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", str(julia))
    assert not boot_module.julia_available()
    julia.write_text("#!/bin/sh\n")
    julia.chmod(0o755)
    assert boot_module.julia_available()


def test_availability_starts_nothing():
    code = (
        "import sys; from pysr_neural import julia_available; julia_available(); "
        "assert not {'juliacall', 'pysr', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_julia_the_error_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.delitem(sys.modules, "pysr", raising=False)
    broken = tmp_path / "pysr"
    broken.mkdir()
    (broken / "__init__.py").write_text("import urllib.error\nraise urllib.error.URLError('no route to host')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(boot_module, "julia_available", lambda: False)
    with pytest.raises(EngineUnavailableError) as caught:
        boot_module.boot()
    for part in ("URLError", "no route to host", "PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT", "BasicSR"):
        assert part in str(caught.value)
    assert "takes some minutes" in capsys.readouterr().err
    assert caught.value.__cause__ is not None


def test_the_estimator_s_import_fails_with_that_error(tmp_path):
    broken = tmp_path / "pysr"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise OSError('libjulia is not there')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pysr_neural.errors import EngineUnavailableError\n"
        "try:\n    from pysr_neural import PySRRegressor\n"
        "except EngineUnavailableError as error:\n    assert 'libjulia is not there' in str(error)\n"
        "else:\n    raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


def test_the_package_is_loaded_from_the_end_of_the_load_path(monkeypatch):
    said = []
    fake = types.ModuleType("pysr")

    class Main:
        NeuralProposer = "the module"

        @staticmethod
        def seval(code):
            said.append(code)
            return said.append

    fake.jl = Main
    monkeypatch.setitem(sys.modules, "pysr", fake)
    assert boot_module.load_package.__wrapped__() == "the module"
    assert "push!(LOAD_PATH, path)" in said[0]
    assert said[1] == str(boot_module.package_folder().parent)
    assert said[2] == "using NeuralProposer: NeuralProposer"


def test_julia_s_answers_become_plain_data():
    assert boot_module.plain({"a": (1, 2.5), "b": {"c": ["x"]}, "d": None}) == {
        "a": [1, 2.5],
        "b": {"c": ["x"]},
        "d": None,
    }
