"""docs/architecture.md names modules that are there, and every room of the package on its floor."""

import re
from pathlib import Path

import pytest

from tests.unit.test_imports import FLOORS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/goldmar"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
NODE = re.compile(r'\w+\["(?P<names>[\w., ]+)<br>')
QUOTED = re.compile(r"`(?P<name>[a-z_]+(?:\.[A-Za-z_]+)*)`")
ROW = re.compile(r"^\| (?P<floor>\d+) \| (?P<rooms>[^|]+) \|", re.MULTILINE)


def named_in_pictures() -> list[str]:
    """The modules in the boxes; `.worker` after `backends.local` is short for `backends.worker`."""
    found: list[str] = []
    for names in NODE.findall(PAGE):
        for name in names.split(", "):
            found.append(found[-1].rpartition(".")[0] + name if name.startswith(".") else name)
    return found


def named_in_the_text() -> set[str]:
    return {name for name in QUOTED.findall(PAGE) if name.split(".")[0] in FLOORS and not name.endswith(".toml")}


def is_there(name: str) -> bool:
    """Whether it is a module, or something that one defines or imports."""
    place = PACKAGE.joinpath(*name.split("."))
    if place.is_dir() or place.with_suffix(".py").is_file():
        return True
    home = place.parent
    source = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    if not source.is_file():
        return False
    pattern = rf"^(class|def) {place.name}\b|^{place.name}\b.*=|import .*\b{place.name}\b"
    return re.search(pattern, source.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_there_are_two_pictures() -> None:
    assert PAGE.count("```mermaid\nflowchart") == 2
    assert len(named_in_pictures()) > 30


@pytest.mark.parametrize("name", sorted(set(named_in_pictures())))
def test_every_module_in_a_picture_is_there(name: str) -> None:
    assert is_there(name)


@pytest.mark.parametrize("name", sorted(named_in_the_text()))
def test_every_module_in_the_text_is_there(name: str) -> None:
    assert is_there(name)


def test_the_floors_are_those_that_are_held() -> None:
    rows = {int(floor): set(QUOTED.findall(rooms)) for floor, rooms in ROW.findall(PAGE)}
    assert rows == {floor: {name for name in FLOORS if FLOORS[name] == floor} for floor in set(FLOORS.values())}


@pytest.mark.parametrize("name", ["backends.nowhere", "nowhere.local", "process.Nobody"])
def test_a_module_that_is_gone_is_found(name: str) -> None:
    assert not is_there(name)
