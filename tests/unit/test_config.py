"""What the TOML files may say, and what is said back where they say something else."""

import math
import os
import random
import re
import time

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from goldmar.config import DEFAULT_PATTERN, Tolerances, load_project, load_tolerances, matches
from goldmar.errors import ConfigError
from goldmar.records import Tolerance


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# ---- the project ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["golden", "handlers"])
def test_the_root_is_the_nearest_folder_with_a_marker(tmp_path, marker):
    (tmp_path / marker).mkdir()
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    project = load_project(inside)
    assert project.root == tmp_path
    assert (project.handlers, project.golden, project.model_store) == (
        tmp_path / "handlers",
        tmp_path / "golden",
        tmp_path / "model_store",
    )
    assert (project.clients, project.timeout_s, project.startup_timeout_s) == (4, 60.0, 120.0)


def test_a_table_makes_a_root_and_is_read(tmp_path):
    write(tmp_path / "pyproject.toml", '[tool.goldmar]\ngolden = "tests/golden"\nclients = 8\ntimeout_s = 5\n')
    write(tmp_path / "sub/pyproject.toml", "[project]\nname = 'other'\n")
    project = load_project(tmp_path / "sub")
    assert project.root == tmp_path
    assert project.golden == tmp_path / "tests/golden"
    assert (project.clients, project.timeout_s) == (8, 5.0)


def test_no_project(tmp_path):
    with pytest.raises(ConfigError, match="No project here") as caught:
        load_project(tmp_path)
    assert "goldmar init" in caught.value.fix
    assert load_project(tmp_path, create=True).root == tmp_path


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("goldem = 'x'", "unknown key 'goldem' in \\[tool.goldmar\\]. Did you mean 'golden'\\?"),
        ("clients = 0", "clients"),
        ("clients = true", "clients"),
        ("clients = 2.5", "clients"),
        ("timeout_s = 0", "timeout_s"),
        ("timeout_s = -1", "timeout_s"),
        ("timeout_s = nan", "timeout_s"),
        ("startup_timeout_s = 'long'", "startup_timeout_s"),
        ("golden = ''", "golden"),
        ("golden = 3", "golden"),
    ],
)
def test_a_project_table_that_is_wrong(tmp_path, table, said):
    path = write(tmp_path / "pyproject.toml", f"[tool.goldmar]\n{table}\n")
    with pytest.raises(ConfigError, match=said) as caught:
        load_project(tmp_path)
    assert str(path) in caught.value.what
    assert caught.value.fix


def test_a_table_that_is_none(tmp_path):
    write(tmp_path / "pyproject.toml", "[tool]\ngoldmar = 3\n")
    with pytest.raises(ConfigError, match="must be a table"):
        load_project(tmp_path)


# ---- tolerances -----------------------------------------------------------------------------------------------------


def tolerances(tmp_path, text):
    return load_tolerances(write(tmp_path / "tolerance.toml", text))


def test_without_a_file_every_value_must_be_equal(tmp_path):
    assert load_tolerances(tmp_path / "tolerance.toml").for_name("thickness") == (DEFAULT_PATTERN, Tolerance())


def test_a_key_left_out_is_that_of_the_default(tmp_path):
    read = tolerances(
        tmp_path,
        """
        [default]
        atol = 0.5
        rtol = 1e-3
        exact = false
        [value."scores.*"]
        atol = 2
        [value.label]
        exact = true
        """,
    )
    assert read.default == Tolerance(0.5, 1e-3, False)
    assert read.for_name("scores.flange") == ("scores.*", Tolerance(2.0, 1e-3, False))
    assert read.for_name("label")[1].exact is True
    assert read.for_name("other") == (DEFAULT_PATTERN, read.default)


def test_a_tolerance_of_its_own_lifts_an_exact_default(tmp_path):
    read = tolerances(tmp_path, "[default]\nexact = true\n[value.x]\natol = 1\n[value.y]\n")
    assert read.for_name("x")[1] == Tolerance(1.0, 0.0, None)
    assert read.for_name("y")[1].exact is True


def test_the_name_itself_wins_and_then_the_last_pattern_in_the_file():
    one, two, three = Tolerance(1), Tolerance(2), Tolerance(3)
    read = Tolerances(Tolerance(), (("boxes[1].x0", one), ("boxes[*].x0", two), ("boxes[*]*", three)))
    assert read.for_name("boxes[1].x0") == ("boxes[1].x0", one)
    assert read.for_name("boxes[2].x0") == ("boxes[*]*", three)
    assert read.for_name("box") == (DEFAULT_PATTERN, Tolerance())


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("boxes[*].x0", "boxes[12].x0", True),
        ("boxes[*].x0", "boxes1.x0", False),
        ("boxes[12].x0", "boxes1.x0", False),
        ("boxes[0].x?", "boxes[0].x1", True),
        ("boxes[0].x?", "boxes[0].x", False),
        ("scores.*", "scores.flange", True),
        ("scores.*", "Scores.flange", False),
        ("scores.*", "a.scores.flange", False),
        ("scoresX*", "scores.flange", False),
        ("*", "two\nlines", True),
        ("寸法*", "寸法.厚さ", True),
    ],
)
def test_patterns(pattern, name, fits):
    assert matches(pattern, name) is fits


@given(st.text())
def test_a_name_without_wildcards_matches_itself_alone(name):
    if not set(name) & {"*", "?"}:
        assert matches(name, name)
        assert not matches(name, name + "x")


def test_patterns_mean_what_a_regular_expression_would():
    chance = random.Random(7)
    for _ in range(20_000):
        pattern = "".join(chance.choices("ab*?", k=chance.randint(0, 8)))
        name = "".join(chance.choices("ab\n", k=chance.randint(0, 9)))
        said = "".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern)
        assert matches(pattern, name) is (re.fullmatch(said, name, re.DOTALL) is not None), (pattern, name)


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "*?a" * 30 + "b", "*" * 1000 + "b", "*a?" * 20 + "*b*c"])
def test_many_stars_take_no_longer(pattern):
    began = time.process_time()
    for name in ("a" * 10_000, "ab" * 5_000):
        assert not matches(pattern, name + "c\0")
    assert time.process_time() - began < 2


def test_unused_patterns_are_told():
    read = Tolerances(Tolerance(), (("scores.*", Tolerance(1)), ("socres.*", Tolerance(1)), ("a*b", Tolerance(1))))
    assert read.unused(["scores.flange", "a*b"]) == ["socres.*"]
    assert read.unused([]) == ["scores.*", "socres.*", "a*b"]


SHADOWED = {
    "by a wider one below": (["scores.*", "*"], ["scores.a", "x"], {"scores.*": ("*",)}),
    "not by a wider one above": (["*", "scores.*"], ["scores.a", "x"], {}),
    "a wide one by all the narrow ones": (["*", "a*", "b*"], ["a1", "b1"], {"*": ("a*", "b*")}),
    "not where one name is left": (["*", "a*", "b*"], ["a1", "b1", "c"], {}),
    "by the names themselves": (["a1", "a2", "a*"], ["a1", "a2"], {"a*": ("a1", "a2")}),
    "by names and patterns": (["a*", "a1", "?2"], ["a1", "a2"], {"a*": ("?2", "a1")}),
    "a name itself never": (["a1", "*"], ["a1", "a2"], {}),
    "one that matches nothing is another matter": (["b*", "a*"], ["a1"], {}),
    "two at once": (["a*", "?1", "*"], ["a1"], {"a*": ("*",), "?1": ("*",)}),
    "no names": (["a*"], [], {}),
}


@pytest.mark.parametrize(("patterns", "names", "want"), SHADOWED.values(), ids=SHADOWED)
def test_patterns_that_others_take_the_place_of(patterns, names, want):
    tolerances = Tolerances(patterns=tuple((pattern, Tolerance()) for pattern in patterns))
    assert tolerances.shadowed(names) == want


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[defualt]", "unknown key 'defualt' in the top level. Did you mean 'default'"),
        ("[default]\natoll = 1", "unknown key 'atoll' in \\[default\\]. Did you mean 'atol'"),
        ('[value."x"]\ntol = 1', "unknown key 'tol' in \\[value.\"x\"\\]"),
        ("[columns]\nid = 'a'", "unknown key 'id' in \\[columns\\]"),
        ("[default]\natol = -1", "atol in \\[default\\] is -1"),
        ("[default]\natol = nan", "atol in \\[default\\] is nan"),
        ("[default]\nrtol = inf", "rtol in \\[default\\] is inf"),
        (f"[default]\natol = {10**400}", "atol in \\[default\\]"),
        ("[default]\natol = '1'", "atol in \\[default\\] is '1'"),
        ("[default]\natol = true", "atol in \\[default\\] is True"),
        ("[default]\nexact = 1", "exact in \\[default\\] is 1"),
        ("[default]\nexact = true\natol = 1", "exact = true beside a tolerance"),
        ("default = 1", "default must be a table"),
        ("[value]\nx = 1", 'value."x" must be a table'),
        ("[columns]\nname = ''", "name in \\[columns\\]"),
        ("[columns]\nname = 'pred'", "gives a header to two columns"),
        ("[columns]\nname = 'pred'\npred = 'name'", "gives a header to two columns"),
        ("[default", "is not TOML"),
        ("[default]\natol = " + "1" * 5000, "is not TOML"),
        ("a = " + "[" * 100_000, "is not TOML"),
    ],
)
def test_a_tolerance_file_that_is_wrong(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        tolerances(tmp_path, text)
    assert str(tmp_path / "tolerance.toml") in caught.value.what
    assert caught.value.fix


def test_a_tolerance_file_that_is_no_text(tmp_path):
    (tmp_path / "tolerance.toml").write_bytes(b"[default]\natol = 1 # \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_tolerances(tmp_path / "tolerance.toml")


def test_a_tolerance_file_that_is_a_folder(tmp_path):
    (tmp_path / "tolerance.toml").mkdir()
    with pytest.raises(ConfigError, match="could not be read"):
        load_tolerances(tmp_path / "tolerance.toml")


def test_columns(tmp_path):
    read = tolerances(tmp_path, '[columns]\ndrawing_id = "図面_id"\n')
    assert read.columns == {"drawing_id": "図面_id"}
    assert math.isfinite(read.default.atol)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (lambda path: path.symlink_to("nowhere"), "is a link that leads nowhere"),
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "no ordinary file"),
    ],
    ids=["dangling", "folder", "pipe"],
)
def test_a_file_of_settings_that_is_there_is_not_passed_over(tmp_path, soon, there, said):
    (tmp_path / "golden").mkdir()
    there(tmp_path / "pyproject.toml")
    there(tmp_path / "tolerance.toml")
    for read in (lambda: load_project(tmp_path), lambda: load_tolerances(tmp_path / "tolerance.toml")):
        with pytest.raises(ConfigError, match=said):
            read()


@pytest.mark.parametrize("home", ["golden", "handlers"])
def test_a_project_whose_folder_is_a_link_to_nowhere_is_not_the_one_above_it(tmp_path, home):
    (tmp_path / "golden").mkdir()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / home).symlink_to("nowhere")
    assert load_project(tmp_path / "inner").root == tmp_path / "inner"


@pytest.mark.parametrize("key", ["ignore", "locks"])
@pytest.mark.parametrize("pattern", ["# notes", " ", "notes[", "[[:alpha:]]", "/"])
def test_a_pattern_that_could_never_fit_is_refused(tmp_path, key, pattern):
    """Not where it stands for the name of a tool."""
    path = tmp_path / "pyproject.toml"
    for refused, table in ((True, {key: ["docs/**", pattern]}), (False, {"tools": [pattern]})):
        path.write_text(f"[tool.goldmar.affected]\n{tomli_w.dumps(table)}")
        if refused:
            with pytest.raises(ConfigError, match="no pattern of paths") as caught:
                load_project(tmp_path)
            assert repr(pattern) in caught.value.what
        else:
            assert load_project(tmp_path).affected.tools == (pattern,)
