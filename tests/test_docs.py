"""The documents: all in the navigation, links that resolve, blocks and commands that run, the site that builds."""

import importlib.util
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import documents
from tests.documents import DOCS, MADE, ROOT


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


from_sources, pictures = script("from_sources"), script("pictures")

PAGES = sorted(page for page in DOCS.rglob("*.md") if MADE not in page.parents)
OTHERS = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "findings/README.md", "training/LOG.md")
]
TUTORIALS = [page for page in PAGES if any(block.kind == "python" for block in documents.blocks(page))]


def ids(page):
    return str(page.relative_to(ROOT))


def test_every_page_is_in_the_navigation_once():
    placed = documents.navigation()
    assert len(placed) == len(set(placed))
    made = {MADE / name for name in from_sources.PAGES}
    assert set(placed) == {*PAGES, *made}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=ids)
def test_links_resolve(page):
    made = {MADE / name for name in from_sources.PAGES}
    for name, anchor in documents.links(page):
        target = (page.parent / name).resolve() if name else page
        assert target in made or target.exists(), name
        if anchor and target not in made:
            assert anchor in documents.anchors(target), f"{name}#{anchor}"


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A *title*: `code`\n\n[a](b.md#c) [d](#a-title-code) [web](https://e)\n\n```\n[no](f.md)\n```\n")
    assert documents.links(page) == [("b.md", "c"), ("", "a-title-code")]
    assert documents.anchors(page) == {"a-title-code"}


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=ids)
def test_modules_of_the_reference_exist(page):
    for module in re.findall(r"^\.\. automodule:: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert find_spec(module) is not None, module


def test_what_is_public_is_in_the_reference():
    import pysr_neural
    import pysr_neural_baseline

    shown = set(re.findall(r"automodule:: ([\w.]+)", "".join(p.read_text() for p in (DOCS / "api").glob("*.md"))))
    homes = set(pysr_neural._HOME_OF.values()) - {"pysr_neural.interop.julia"}
    homes |= {getattr(pysr_neural_baseline, name).__module__ for name in pysr_neural_baseline.__all__}
    assert homes - {"pysr_neural_baseline.search"} <= shown


def test_every_docstring_of_julia_is_on_its_page():
    page = from_sources.julia_page()
    sources = [path for path in from_sources.JULIA.glob("*.jl") if path.name != "precompile.jl"]
    written = sum(path.read_text(encoding="utf-8").count('\n"""\n') for path in sources)
    assert page.count("\n### `") > 60
    assert "### `NeuralProposerPlugin`" in page
    assert "@ref" not in page
    assert all(f"## {path.name}" in page for path in sources if '"""' in path.read_text(encoding="utf-8"))
    assert written > 20


def test_julia_docstrings_are_read(tmp_path):
    (tmp_path / "NeuralProposer.jl").write_text('"""\nThe [`a!`](@ref).\n"""\nmodule M\ninclude("A.jl")\nend\n')
    (tmp_path / "A.jl").write_text(
        '# Owns a.\n\n"""\n    a!(x; y) -> Int\n\nDo.\n\n# Keywords\n"""\n@inline function a!(x)\n'
    )
    page = from_sources.julia_page(tmp_path)
    assert "### `M`\n\nThe `a!`." in page
    assert "Owns a.\n\n### `a!`\n\n```julia\na!(x; y) -> Int\n```\n\nDo.\n\n**Keywords**" in page


def test_every_finding_is_on_its_page():
    page = from_sources.findings_page()
    scripts = list(from_sources.FINDINGS.glob("*.sh"))
    assert len(scripts) >= 6
    assert all(f"## `{path.stem}`" in page for path in scripts)
    table = (from_sources.FINDINGS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in table for path in scripts)


def test_pictures_are_drawn_and_true(tmp_path):
    pictures.flow(tmp_path / "flow.png")
    left = list(pictures.parts(tmp_path / "parts.png").values())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    assert left[-1] < 1e-12
    assert min(left[:-1]) > 0.1


def all_commands():
    for page in [*PAGES, ROOT / "README.md"]:
        for block in documents.blocks(page):
            for words in documents.command_lines(block.text):
                yield pytest.param(words, id=f"{page.name}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", list(all_commands()))
def test_commands_and_their_options_exist(words, capsys):
    name = documents.named(words)
    assert name is not None
    with pytest.raises(SystemExit):
        documents.call([*name, "--help"])
    told = capsys.readouterr().out
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", told), option


def run_page(page, folder, monkeypatch, when=()):
    """Run a page's blocks one after the other in one namespace, up to the last of those asked for; return it."""
    monkeypatch.chdir(folder)
    names, found = {"__name__": "page"}, documents.blocks(page)
    last = max((i for i, block in enumerate(found, 1) if block.when in when), default=len(found))
    for number, block in enumerate(found[:last], 1):
        if block.kind == "python" and block.when in ("", *when):
            exec(compile(block.text, f"{page.name}, block {number}", "exec"), names)
        elif block.when in ("run", *when):
            for words in documents.command_lines(block.text):
                assert documents.call(words) == 0, words
    return names


@pytest.mark.parametrize("page", TUTORIALS, ids=ids)
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    names = run_page(page, tmp_path, monkeypatch)
    if page.name == "tutorial_data.md":
        assert names["model"].score(names["X"], names["y"]) > 0.99


@pytest.mark.julia
@pytest.mark.parametrize("page", [p for p in TUTORIALS if any(b.when == "julia" for b in documents.blocks(p))], ids=ids)
def test_blocks_with_julia_run(page, tmp_path, monkeypatch, capsys):
    run_page(page, tmp_path, monkeypatch, ("julia",))


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if any(b.when == "slow" for b in documents.blocks(p))], ids=ids)
def test_long_blocks_run(page, tmp_path, monkeypatch, capsys):
    run_page(page, tmp_path, monkeypatch, ("slow",))


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path):
    pytest.importorskip("sphinx", reason="the site needs `pip install -e .[docs]`")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    text = (tmp_path / "api/estimators.html").read_text(encoding="utf-8")
    for name in ("pysr_neural.interop.regressor.PySRRegressor", "pysr_neural_baseline.estimator.BasicSR.fit"):
        assert f'id="{name}"' in text
    assert "NeuralProposerPlugin" in (tmp_path / "made/julia.html").read_text(encoding="utf-8")
    assert Path(tmp_path / "_images/benchmark.png").is_file()
