"""What the wheel holds; marked slow, as building needs seconds and a build backend."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_nothing_generic_lands_in_site_packages(names):
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "pysr_neural",
        "pysr_neural_baseline",
        "pysr_neural_training",
        "pysr_neural_benchmarks",
    }


@pytest.mark.slow
def test_what_is_no_python_is_there(names):
    for part in (
        "pysr_neural/_julia/NeuralProposer/Project.toml",
        "pysr_neural/_julia/NeuralProposer/src/NeuralProposer.jl",
        "pysr_neural/checkpoints/default/model.safetensors",
        "pysr_neural/checkpoints/default/config.json",
        "pysr_neural_benchmarks/demo/facts.toml",
    ):
        assert part in names
    assert any(name.startswith("pysr_neural_training/configs/") for name in names)
    assert not any("/tests/" in name or name.endswith("Manifest.toml") for name in names)


def test_versions_agree():
    import tomllib

    import pysr_neural

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pysr_neural.__version__ == project["version"]
