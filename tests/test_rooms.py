"""The rooms: every one has its place, imports go down, the picture and the page about them are up to date."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("rooms", ROOT / "docs/rooms.py")
rooms = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rooms)
PAGE = (ROOT / "docs/where.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("package", rooms.PACKAGES)
def test_every_room_has_its_place(package):
    placed = [room for row in rooms.layers()[package] for room in row]
    assert len(placed) == len(set(placed))
    assert set(placed) == rooms.rooms_on_disk(package)


@pytest.mark.parametrize("package", rooms.PACKAGES)
def test_imports_go_down(package):
    place = {room: i for i, row in enumerate(rooms.layers()[package]) for room in row}
    edges = rooms.imports(package)
    assert edges
    assert [edge for edge in sorted(edges) if place[edge[0]] >= place[edge[1]]] == []


def test_what_is_left_out_is_implied():
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}
    assert rooms.reduced(edges) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_the_picture_is_up_to_date(tmp_path):
    from PIL import Image

    with Image.open(rooms.PICTURE) as picture:
        told = picture.text["Description"]
    assert told == rooms.digest(rooms.shown()), "run `python docs/rooms.py`"
    shown = {"pysr_neural": ([["a"], ["b"]], [("a", "b")])}
    other = {"pysr_neural": ([["a", "b"]], [])}
    assert rooms.digest(shown) != rooms.digest(other)
    rooms.draw(rooms.shown(), tmp_path / "rooms.png")
    with Image.open(tmp_path / "rooms.png") as picture:
        assert picture.text["Description"] == told
        assert picture.width > 500


def test_the_page_places_ten_changes():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 10
    assert all("/" in row.split(" | ")[1] for row in rows)


@pytest.mark.parametrize("page", ["docs/where.md", "CONTRIBUTING.md"])
def test_paths_named_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w./]*/[\w./]*)`", text)
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert named
    assert linked
    for name in named:
        assert (ROOT / name).exists(), name
    for name in linked:
        assert ((ROOT / page).parent / name).is_file(), name
