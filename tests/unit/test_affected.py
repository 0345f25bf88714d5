"""The parts of `affected` that need no git: lock files and the matrix."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from goldmar.affected.locks import BESIDE, compare, needed
from goldmar.records import Selection
from goldmar.report.affected.matrix import MOST_JOBS, render

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src/goldmar"


# ---- lock files -----------------------------------------------------------------------------------------------------


def test_the_names_of_goldmars_own_packages_are_those_of_its_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {key: {Requirement(each).name for each in lines} for key, lines in project["optional-dependencies"].items()}
    assert {Requirement(each).name for each in project["dependencies"]} == needed()
    assert names["serve"] == needed("serve")
    assert needed() | needed("serve") >= BESIDE


def test_no_module_that_sends_or_compares_answers_imports_what_none_depends_on() -> None:
    """`transport/network.py` asks about servers alone; what a prediction goes through is transport/connection.py."""
    patterns = ("transport/connection.py", "protocols/*.py", "predict/*.py", "compare/*.py", "golden/csv_*.py")
    sources = [path.read_text(encoding="utf-8") for pattern in patterns for path in SRC.glob(pattern)]
    found = re.findall(r"^ *(?:import|from) (\w+)", "\n".join(sources), re.MULTILINE)
    imported = {name.replace("_", "-") for name in found}
    assert {"numpy", "pycurl"} <= imported
    assert imported.isdisjoint(BESIDE)


LOCK = b"""\
a==1.0
    # via b
b==1.0
    # via -r x.in
c==1.0 ; python_version > "3"
    # via -r x.in
"""


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (LOCK, {}),
        (LOCK + b"\n\n", {}),
        (LOCK.replace(b"\n", b"\r\n"), {}),
        (LOCK.replace(b"a==1.0", b"A==1.0.0"), {}),
        (LOCK.replace(b"b==1.0", b"b==1.1"), {"b": "b 1.0 -> 1.1"}),
        (LOCK.replace(b"c==1.0", b"c[x]==1.0"), {"c": "c 1.0 without extras -> 1.0 with [x]"}),
        (
            LOCK.replace(b'> "3"', b'> "2"'),
            {"c": 'c 1.0 where python_version > "3" -> 1.0 where python_version > "2"'},
        ),
        (LOCK.replace(b"a==1.0", b"a==1.0 --hash=sha256:aa"), {"a": "a 1.0 without hashes -> 1.0 with hash aa"}),
        (LOCK.replace(b"a==1.0\n    # via b\n", b""), {"a": "a 1.0 -> none"}),
        (LOCK + b"d==2\n    # via b\n", {"d": "d none -> 2"}),
        (LOCK.replace(b"b==1.0", b"b @ https://h.example/b.whl"), {"b": "b 1.0 -> @ https://h.example/b.whl"}),
    ],
)
def test_what_differs_between_two_lock_files(new: bytes, changed: dict[str, str]) -> None:
    difference = compare("x.txt", LOCK, new)
    assert difference.everything == ""
    assert difference.changed == changed


FORKED = b"""\
a==1.0 ; platform_machine == "x86_64"
    # via b
a==1.0 ; platform_machine == "aarch64"
    # via b
a==1.0+cpu ; platform_machine == "riscv64"
    # via b
b==1.0
    # via -r x.in
"""


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
@pytest.mark.parametrize(("old", "new"), [(b"1.0", b"1.1"), (b"1.0 ;", b"1.0 --hash=sha256:aa ;"), (b"a==", b"a[x]==")])
def test_a_package_pinned_for_several_platforms_counts_on_each(machine: str, old: bytes, new: bytes) -> None:
    lines = FORKED.replace(b"1.0+cpu", b"1.0").splitlines(keepends=True)
    whole = b"".join(lines)
    new = new if b"--hash" not in new else b"1.0 ;"
    changed = [line.replace(old, new) if machine.encode() in line else line for line in lines]
    if new == b"1.0 ;":
        changed = [line.rstrip() + b" --hash=sha256:aa\n" if machine.encode() in line else line for line in lines]
    difference = compare("x.txt", whole, b"".join(changed))
    assert difference.everything == ""
    assert set(difference.changed) == {"a"}
    assert machine in difference.changed["a"]
    assert difference.reached(["b"]) == {"a": "b"}


def test_a_platform_more_or_less_is_a_change_of_the_package() -> None:
    fewer = FORKED.replace(b'a==1.0+cpu ; platform_machine == "riscv64"\n    # via b\n', b"")
    for old, new in ((FORKED, fewer), (fewer, FORKED)):
        difference = compare("x.txt", old, new)
        assert list(difference.changed) == ["a"]
        assert "none" in difference.changed["a"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, LOCK, "is new"),
        (LOCK, None, "is gone"),
        (LOCK, b"a>=1\n", "cannot be read"),
        (LOCK, b"\xff", "is not UTF-8"),
        (LOCK, b"", "cannot be read"),
        (LOCK, b"--index-url https://u:secret@example.org\n" + LOCK, "where packages come from: --index-url"),
        (LOCK, LOCK.replace(b"    # via b\n", b"").replace(b"a==1.0", b"a==2"), "do not say who needs what"),
        (LOCK, b"-r other.txt\n" + LOCK, "no lock file of its own"),
        (LOCK, b"--no-index --pre\n" + LOCK, "where packages come from: --no-index, --pre"),
        (LOCK, LOCK + b'w==1 ; sys_platform == "win32"\n    # via b\n', "for another Python or system"),
    ],
)
def test_what_cannot_be_told_of_a_lock_file_reaches_everything(old: bytes, new: bytes, said: str) -> None:
    difference = compare("x.txt", old, new)
    assert said in difference.everything
    assert "secret" not in difference.everything


def test_a_package_is_reached_through_both_versions_of_a_lock_file() -> None:
    """One that is no longer needed was needed before, and what took it along shows in the old notes alone."""
    difference = compare("x.txt", LOCK, LOCK.replace(b"    # via b", b"    # via c").replace(b"a==1.0", b"a==2.0"))
    assert difference.reached(["b"]) == {"a": "b"}
    assert difference.reached(["c"]) == {"a": "c"}
    assert difference.reached(["a"]) == {"a": ""}
    assert difference.reached(["z"]) == {}


TOOLS = b"""\
both==1
    # via
    #   app
    #   pytest
deep==1
    # via pluggy
pluggy==1
    # via pytest
pytest==1
    # via -r x.in
app==1
    # via -r x.in
"""


LIMITED = TOOLS.replace(b"via pluggy", b"via -c x.txt, pluggy")


@pytest.mark.parametrize(
    ("old", "new", "own"),
    [
        (TOOLS, TOOLS.replace(b"deep==1", b"deep==2"), {"deep"}),
        (TOOLS, TOOLS.replace(b"deep==1", b"deep==2").replace(b"pluggy==1", b"pluggy==2"), {"deep", "pluggy"}),
        (TOOLS, TOOLS.replace(b"pytest==1", b"pytest==2"), {"pytest"}),
        (TOOLS, TOOLS + b"new==1\n    # via deep\n", {"new"}),
        (TOOLS, TOOLS.replace(b"both==1", b"both==2"), set()),  # needed by app as well
        (LIMITED, LIMITED.replace(b"deep==1", b"deep==2"), {"deep"}),  # a constraint file needs nothing
        (LIMITED, LIMITED.replace(b"deep==1\n    # via -c x.txt, pluggy", b"deep==2\n    # via -c x.txt"), set()),
        (TOOLS, TOOLS.replace(b"app==1\n    # via -r x.in", b"app==2\n    # via pytest"), set()),  # says the change
        (TOOLS.replace(b"app==1\n    # via -r x.in", b"app==2\n    # via pytest"), TOOLS, set()),
    ],
)
def test_what_tools_alone_need_is_so_on_both_sides(old: bytes, new: bytes, own: set[str]) -> None:
    assert compare("x.txt", old, new).only(["pytest"]) == own


def test_indexes_in_another_order_are_other_indexes() -> None:
    """The first of them that has a package gives it."""
    first, second = b"--extra-index-url https://a.example\n", b"--extra-index-url https://b.example\n"
    alone = b"--no-index\n"
    assert "--extra-index-url" in compare("x.txt", first + second + LOCK, second + first + LOCK).everything
    assert not compare("x.txt", first + alone + LOCK, alone + first + LOCK).everything


# ---- the matrix -----------------------------------------------------------------------------------------------------


def selection(count: int, why: str = "it changed") -> Selection:
    return Selection(models={f"m{number:04}": [why] for number in range(count)})


@given(count=st.integers(0, 1200), jobs=st.integers(1, MOST_JOBS))
def test_every_model_is_in_one_job_and_jobs_are_as_even_as_can_be(count: int, jobs: int) -> None:
    include = json.loads(render(selection(count), jobs))["include"]
    sizes = [len(job["models"].split()) for job in include]
    assert " ".join(job["models"] for job in include).split() == list(selection(count).models)
    assert len(include) == min(jobs, count)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert len({job["model"] for job in include}) == len(include)


def test_a_matrix_is_one_line_and_short_whatever_the_reasons() -> None:
    line = render(selection(MOST_JOBS, "a reason\n" * 1000))
    assert "\n" not in line
    assert len(line) < 2**20
    assert render(selection(0)) == '{"include":[]}'


def test_the_reasons_of_all_are_those_of_each() -> None:
    found = Selection(models={"a": ["of its own"], "b": []}, everything=["compose changed"])
    whys = [job["why"] for job in json.loads(render(found))["include"]]
    assert whys == ["of its own; compose changed", "compose changed"]
