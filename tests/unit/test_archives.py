"""Building several archives, and what a model asks for held against what it is served with."""

from pathlib import Path

import pytest

from goldmar.archive import build
from goldmar.config import load_project
from goldmar.errors import ArchiveError, ConfigError
from goldmar.packages import Installed
from goldmar.pipeline.archives import archives_for, build_archives, packages_of_model, verify_archive
from tests.support.foreign import foreign_project
from tests.support.packages import STAND_IN
from tests.unit.test_jobs import Progress
from tests.unit.test_packages import handler


def test_one_refusal_leaves_the_others_built(tmp_path: Path) -> None:
    folders = [handler(tmp_path / "handlers" / name, None) for name in ("gear", "pin", "rim")]
    for folder in folders[:2]:
        (folder / "archive.toml").write_text("version = ")
    progress = Progress()
    with pytest.raises(ArchiveError, match="gear"):
        build_archives(load_project(tmp_path), folders, progress)
    assert (tmp_path / "model_store/rim.mar").is_file()
    assert "rim" in (tmp_path / "model_store/archives.yml").read_text()
    assert [note for note in progress.seen if "pin" in note]
    assert not [note for note in progress.seen if "gear" in note]


def test_an_archive_that_is_left_over_is_told(tmp_path: Path) -> None:
    """And nothing of the folders that have nothing to do with archives."""
    folder = handler(tmp_path / "handlers/gear", None)
    (tmp_path / "golden/rim").mkdir(parents=True)
    project, progress = load_project(tmp_path), Progress()
    build_archives(project, [folder], progress)
    assert not progress.seen
    (folder / "archive.toml").write_text('version = "1"\nmodel = "cog"\n')
    build_archives(project, [folder], progress)
    (note,) = progress.seen
    assert "gear.mar is left over" in note
    assert "\nfix: rm " in note


def test_what_others_built_is_written_down_where_no_handler_is(tmp_path: Path) -> None:
    build(handler(tmp_path / "elsewhere/gear", None), tmp_path / "model_store")
    (tmp_path / "golden").mkdir()
    (tmp_path / "model_store/archives.yml").unlink(missing_ok=True)
    assert build_archives(load_project(tmp_path), [], Progress()) == []
    assert "gear" in (tmp_path / "model_store/archives.yml").read_text()


def test_where_all_are_refused_nothing_is_written(tmp_path: Path) -> None:
    folder = handler(tmp_path / "handlers/gear", None)
    (folder / "archive.toml").write_text("version = ")
    with pytest.raises(ArchiveError):
        build_archives(load_project(tmp_path), [folder], Progress())
    assert not list((tmp_path / "model_store").glob("*"))


def test_a_broken_archive_of_another_model_stops_none(tmp_path: Path) -> None:
    mar = build(handler(tmp_path / "elsewhere/gear", None), tmp_path / "model_store").path
    (tmp_path / "model_store/pin.mar").symlink_to("nowhere")
    (tmp_path / "golden").mkdir()
    assert [each.path for each in archives_for(load_project(tmp_path), ["gear"])] == [mar]


def test_an_archive_that_fails_on_its_first_drawing_is_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    mar = foreign_project(tmp_path) / "model_store/means.mar"
    progress = Progress()
    assert verify_archive(load_project(tmp_path), mar, progress).path == mar
    assert not progress.seen  # it was asked
    (tmp_path / "golden/means/drawings/a.json").write_text('{"numbers": []}')
    with pytest.raises(ArchiveError, match=r"means\.mar: the model fails on a: ") as caught:
        verify_archive(load_project(tmp_path), mar, progress)
    assert "ZeroDivisionError" in str(caught.value.detail)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"a": "2"}, ""),
        ({"a": "1"}, "a>=2"),
        ({"b": "1"}, "a>=2"),
        ({}, ""),  # the server does not tell
    ],
)
@pytest.mark.parametrize("included", [False, True])
def test_what_a_model_asks_for_is_held_against_what_is_there(
    tmp_path: Path, versions: dict[str, str], said: str, included: bool
) -> None:
    """What requirements.txt includes is not in the archive, and is read where the handler lies."""
    folder = handler(tmp_path / "handlers/gear", "-r more.txt\n" if included else "a>=2\n")
    (folder / "more.txt").write_text("a>=2\n")
    build(folder, tmp_path / "model_store")
    project = load_project(tmp_path)
    if said:
        with pytest.raises(ConfigError, match=f"^gear is not served with .*{said}"):
            packages_of_model(project, "gear", Installed(versions))
    else:
        packages_of_model(project, "gear", Installed(versions))
    packages_of_model(project, "rim", Installed(versions))  # which has no archive here


def test_the_archive_says_what_is_asked_for_and_not_the_folder(tmp_path: Path) -> None:
    """Whether it is that of the folder as it is now is another question: see archives_for."""
    folder = handler(tmp_path / "handlers/gear", "a>=2\n")
    build(folder, tmp_path / "model_store")
    (folder / "requirements.txt").write_text("a>=1\n")
    with pytest.raises(ConfigError, match="a>=2"):
        packages_of_model(load_project(tmp_path), "gear", Installed({"a": "1"}))


def test_an_archive_without_requirements_asks_for_nothing(tmp_path: Path) -> None:
    """A module is none, even if it reads like some."""
    folder = handler(tmp_path / "handlers/gear", None)
    (folder / "helper.py").write_text("a >= 2\n")
    build(folder, tmp_path / "model_store")
    packages_of_model(load_project(tmp_path), "gear", Installed({"b": "1"}))
