"""Patterns of paths: as in a .gitignore, in linear time, and none that says nothing."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from goldmar.patterns import _Pattern, deciding, is_pattern


@pytest.mark.parametrize(
    ("pattern", "path", "matched"),
    [
        ("docs/**", "docs/a", True),
        ("docs/**", "docs/a/b/c.md", True),
        ("docs/**", "handlers/docs/a", False),
        ("docs", "docs/a/b", True),
        ("docs", "a/docs/b", True),
        ("/docs", "a/docs/b", False),
        ("docs/", "docs/a/b", True),
        ("docs/", "docs", False),
        ("docs", "docs2/a", False),
        ("**/*.md", "README.md", True),
        ("**/*.md", "a/b/README.md", True),
        ("*.md", "a/README.md", True),
        ("/*.md", "a/README.md", False),
        ("/*.md", "README.md", True),
        ("a/*/c", "a/b/c", True),
        ("a/*/c", "a/b/b/c", False),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("a/**/", "a/c", False),
        ("a/**/", "a/b/c", True),
        ("?.txt", "a.txt", True),
        ("/?.txt", "/.txt", False),
        ("a.c", "abc", False),
        ("a[b]", "ab", True),
        (r"a\[b]", "a[b]", True),
        ("a[!b]c", "a/c", False),
        ("../web/**", "../web/a/b", True),
        ("**", "anything/at\nall", True),
    ],
)
def test_a_pattern(pattern: str, path: str, matched: bool) -> None:
    assert (deciding(path, [pattern]) == pattern) is matched


@pytest.mark.parametrize(
    ("patterns", "path", "decided"),
    [
        (["*.txt", "!/keep.txt"], "keep.txt", None),
        (["*.txt", "!/keep.txt"], "a/keep.txt", "*.txt"),
        (["!/keep.txt", "*.txt"], "keep.txt", "*.txt"),
        (["a/**", "!a/b/**", "a/b/c"], "a/b/c", "a/b/c"),
        (["a/**", "!a/b/**"], "a/b/d", None),
        ([r"\!a"], "!a", r"\!a"),
    ],
)
def test_the_last_pattern_that_fits_decides(patterns: list[str], path: str, decided: str | None) -> None:
    assert deciding(path, patterns) == decided


@pytest.mark.parametrize("line", ["", " ", "# a note", "/", "a\\", "a[", "[z-a]", "[[:alpha:]]", "!"])
def test_what_could_never_fit_is_no_pattern(line: str) -> None:
    assert not is_pattern(line)


def test_a_pattern_means_what_it_means_to_git(tmp_path: Path) -> None:
    """Of files in a folder that is taken out whole, git takes none back; here they are: less is passed over then."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    chance = random.Random(7)
    names = ["a", "b", "ab", "ba", "aab", "bb"]
    paths = {"/".join(chance.choices(names, k=number % 4 + 1)) for number in range(150)}
    seen = set()
    for _ in range(60):
        parts = ["a", "b", "*", "?", "a*", "?b", "*a*b", "[ab]", "[!a]b", "**"]
        line = "/".join(chance.choices(parts, k=chance.randint(1, 3))) + chance.choice(["", "/"])
        lines = [chance.choice(["", "/"]) + line, *(["!b/**"] if chance.random() < 0.3 else [])]
        (tmp_path / ".git/info/exclude").write_text("\n".join(lines))
        command = ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "--stdin"]
        said = subprocess.run(command, input="\0".join(paths), capture_output=True, text=True).stdout
        git, ours = {*said.split("\0")} - {""}, {path for path in paths if deciding(path, lines)}
        assert ours <= git, lines
        assert ours == git or len(lines) > 1, lines
        seen |= ours
    assert len(seen) > len(paths) / 2


def test_nothing_but_time_is_changed_of_what_pathspec_says() -> None:
    chance = random.Random(7)
    fitted = 0
    for _ in range(2_000):
        line = "".join(chance.choices(["a", "b", "/", "*", "**", "**/", "/**/", "?", "[ab]"], k=chance.randint(1, 9)))
        path = "/".join("".join(chance.choices("ab", k=chance.randint(1, 4))) for _ in range(chance.randint(1, 6)))
        if is_pattern(line) and not line.endswith("/**/"):
            theirs, ours = (kind(line).match_file(path) for kind in (GitIgnoreSpecPattern, _Pattern))
            assert (ours is None) is (theirs is None), (line, path)
            assert ours is None or ours.match.groupdict() == theirs.match.groupdict(), (line, path)
            fitted += ours is not None
    assert fitted > 200


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 30 + "b",
        "**a" * 30 + "b",
        "**/a" * 30 + "/b",
        "**/" * 60 + "b",
        "**" * 500,
        "**/*a*a*b/" * 10 + "c",
        "[ab]*?*" * 20 + "c",
    ],
)
def test_many_stars_take_no_longer(pattern: str) -> None:
    began = time.process_time()
    for path in ("a" * 4000, "a/" * 2000, "ab" * 2000):
        deciding(path, [pattern])
    assert time.process_time() - began < 2
