"""Files that goldmar writes and upgrades, and never writes over what a user changed."""

import json
from pathlib import Path

import pytest

from goldmar.errors import ConfigError, StorageError, UsageError
from goldmar.project_files import MANIFEST, File, FileStatus, Manifest, digest, read_manifest, settle, with_block


def wrote(root: Path, content: str | None, manifest: Manifest, path: str = "ci/run") -> str:
    """The status of one file that shall hold `content`; None leaves it out."""
    files = {} if content is None else {path: File(content.encode(), executable=True)}
    (outcome,) = [each for each in settle(root, files, manifest, owned=["ci/own"]) if each.path == path]
    return outcome.status


def at(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_file_is_written_once_and_follows_the_upgrade(tmp_path):
    manifest = Manifest()
    assert wrote(tmp_path, "one", manifest) is FileStatus.written
    assert (tmp_path / "ci/run").stat().st_mode & 0o777 == 0o755
    assert wrote(tmp_path, "one", manifest) is FileStatus.same
    assert wrote(tmp_path, "two", manifest) is FileStatus.upgraded
    assert at(tmp_path) == {"ci/run": "two"}


def test_one_that_was_changed_stays_and_the_new_one_is_offered_once(tmp_path):
    manifest = Manifest()
    wrote(tmp_path, "one", manifest)
    (tmp_path / "ci/run").write_text("mine")
    assert wrote(tmp_path, "one", manifest) is FileStatus.left  # nothing new to be said
    assert wrote(tmp_path, "two", manifest) is FileStatus.beside
    assert at(tmp_path) == {"ci/run": "mine", "ci/run.new": "two"}
    (tmp_path / "ci/run.new").unlink()
    assert wrote(tmp_path, "two", manifest) is FileStatus.left
    assert at(tmp_path) == {"ci/run": "mine"}
    assert wrote(tmp_path, "three", manifest) is FileStatus.beside
    assert wrote(tmp_path, "four", manifest) is FileStatus.beside
    assert at(tmp_path) == {"ci/run": "mine", "ci/run.new": "four"}
    (tmp_path / "ci/run").write_text("four")  # taken over
    assert wrote(tmp_path, "four", manifest) is FileStatus.same
    assert at(tmp_path) == {"ci/run": "four"}
    assert wrote(tmp_path, "five", manifest) is FileStatus.upgraded


def test_a_file_of_which_nothing_is_known_is_the_users(tmp_path):
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/run").write_text("mine")
    assert wrote(tmp_path, "one", Manifest()) is FileStatus.beside
    assert at(tmp_path) == {"ci/run": "mine", "ci/run.new": "one"}
    (tmp_path / "ci/run").write_text("one")
    manifest = Manifest()
    assert wrote(tmp_path, "one", manifest) is FileStatus.same
    assert wrote(tmp_path, "two", manifest) is FileStatus.upgraded


@pytest.mark.parametrize("how", ["file", "link"])
def test_what_has_the_name_of_the_offer_is_not_written_over(tmp_path, how):
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/run").write_text("mine")
    if how == "file":
        (tmp_path / "ci/run.new").write_text("mine as well")
    else:
        (tmp_path / "ci/run.new").symlink_to(tmp_path / "elsewhere")
    assert wrote(tmp_path, "one", Manifest()) is FileStatus.left
    assert not (tmp_path / "elsewhere").exists()
    assert how == "link" or (tmp_path / "ci/run.new").read_text() == "mine as well"


def test_an_offer_that_is_there_already_is_the_same_offer(tmp_path):
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/run").write_text("mine")
    (tmp_path / "ci/run.new").write_text("one")
    manifest = Manifest()
    assert wrote(tmp_path, "one", manifest) is FileStatus.beside
    assert wrote(tmp_path, "one", manifest) is FileStatus.left


def test_an_offer_that_was_changed_is_the_users(tmp_path):
    manifest = Manifest()
    wrote(tmp_path, "one", manifest)
    (tmp_path / "ci/run").write_text("mine")
    assert wrote(tmp_path, "two", manifest) is FileStatus.beside
    (tmp_path / "ci/run.new").write_text("half of mine")
    (tmp_path / "ci/run").write_text("two")
    assert wrote(tmp_path, "two", manifest) is FileStatus.same
    assert at(tmp_path) == {"ci/run": "two", "ci/run.new": "half of mine"}


def test_line_ends_of_a_checkout_are_no_change(tmp_path):
    manifest = Manifest()
    wrote(tmp_path, "one\ntwo\n", manifest)
    (tmp_path / "ci/run").write_bytes(b"one\r\ntwo\r\n")
    assert wrote(tmp_path, "three\n", manifest) is FileStatus.upgraded


def test_one_that_was_removed_comes_back(tmp_path):
    manifest = Manifest()
    wrote(tmp_path, "one", manifest)
    (tmp_path / "ci/run").unlink()
    assert wrote(tmp_path, "one", manifest) is FileStatus.written


def test_in_a_folder_of_its_own_what_is_no_longer_needed_goes_unless_it_was_changed(tmp_path):
    manifest = Manifest()
    settle(tmp_path, {name: File(b"one") for name in ("ci/own/a", "ci/own/b", "ci/c")}, manifest)
    (tmp_path / "ci/own/mine").write_text("mine")
    (tmp_path / "ci/own/b").write_text("changed")
    found = {each.path: each.status for each in settle(tmp_path, {}, manifest, owned=["ci/own"])}
    assert found == {"ci/own/a": FileStatus.removed, "ci/own/b": FileStatus.left}
    assert at(tmp_path) == {"ci/c": "one", "ci/own/b": "changed", "ci/own/mine": "mine"}
    (tmp_path / "ci/own/b").unlink()
    assert wrote(tmp_path, None, manifest, "ci/own/b") is FileStatus.removed
    assert list(manifest.files) == ["ci/c"]


def test_in_a_folder_of_its_own_an_offer_stays_as_long_as_its_file_is_wanted(tmp_path):
    manifest = Manifest()
    wrote(tmp_path, "one", manifest, "ci/own/a")
    (tmp_path / "ci/own/a").write_text("mine")
    assert wrote(tmp_path, "two", manifest, "ci/own/a") is FileStatus.beside
    assert wrote(tmp_path, "two", manifest, "ci/own/a") is FileStatus.left
    assert at(tmp_path) == {"ci/own/a": "mine", "ci/own/a.new": "two"}


def test_nothing_is_removed_through_a_link_out_of_the_project(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text("one")
    (root / "ci").mkdir(parents=True)
    (root / "ci/own").symlink_to(outside)
    settle(root, {}, Manifest(files={"ci/own/a": digest(b"one")}), owned=["ci/own"])
    assert (outside / "a").exists()


@pytest.mark.parametrize("way", ["folder", "file above", "link above", "dangling link above", "dangling link"])
def test_what_is_in_the_way_is_named_and_nothing_is_written(tmp_path, way):
    root = tmp_path / "root"
    (root / "ci").mkdir(parents=True)
    if way == "folder":
        (root / "ci/run").mkdir()
    elif way == "file above":
        (root / "ci").rmdir()
        (root / "ci").write_text("a file")
    elif way == "link above":
        (root / "ci").rmdir()
        (root / "ci").symlink_to(tmp_path)
    elif way == "dangling link above":
        (root / "ci").rmdir()
        (root / "ci").symlink_to("nowhere")
    else:
        (root / "ci/run").symlink_to(tmp_path / "nowhere")
    files = {"a": File(b"a"), "ci/run": File(b"one")}
    with pytest.raises(UsageError, match="nothing was written") as caught:
        settle(root, files, Manifest())
    assert caught.value.fix.startswith("ls -ld ")
    assert not (root / "a").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


def test_a_link_that_the_user_set_is_not_written_through(tmp_path):
    manifest = Manifest()
    wrote(tmp_path, "one", manifest)
    (tmp_path / "shared").write_text("one")
    (tmp_path / "ci/run").unlink()
    (tmp_path / "ci/run").symlink_to(tmp_path / "shared")
    assert wrote(tmp_path, "two", manifest) is FileStatus.beside
    assert (tmp_path / "shared").read_text() == "one"


def test_the_manifest_comes_back_as_it_was(tmp_path):
    assert read_manifest(tmp_path) == Manifest()
    manifest = Manifest({"ci/run": digest(b"one")}, {"ci/locks/api.txt": digest(b"in")})
    manifest.write(tmp_path, "1.2.3")
    assert read_manifest(tmp_path) == manifest
    assert json.loads((tmp_path / MANIFEST).read_text())["goldmar"] == "1.2.3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"files": {}}',
        '{"files": {"a": 1}, "locks": {}}',
        '{"files": [], "locks": {}}',
        '{"files": {"../../a": "sha256:0"}, "locks": {}}',
        '{"files": {}, "locks": {"/etc/a": "sha256:0"}}',
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "ci").mkdir()
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ConfigError, match="is not what goldmar wrote") as caught:
        read_manifest(tmp_path)
    assert "git checkout" in caught.value.fix


def test_a_manifest_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / MANIFEST).mkdir(parents=True)
    with pytest.raises(StorageError, match="could not be read"):
        read_manifest(tmp_path)


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "ci/own/a").mkdir(parents=True)
    with pytest.raises(StorageError, match="own/a could not be read"):
        settle(tmp_path, {}, Manifest(files={"ci/own/a": digest(b"one")}), owned=["ci/own"])


def test_an_offer_ends_with_the_upgrade_of_its_file_and_with_its_own_absence(tmp_path):
    for gone in (False, True):
        manifest = Manifest()
        wrote(tmp_path, "one", manifest)
        (tmp_path / "ci/run").write_text("mine")
        assert wrote(tmp_path, "two", manifest) is FileStatus.beside
        if gone:
            (tmp_path / "ci/run.new").unlink()
        (tmp_path / "ci/run").write_text("two")
        assert wrote(tmp_path, "two", manifest) is FileStatus.same
        assert at(tmp_path) == {"ci/run": "two"}
        assert list(manifest.files) == ["ci/run"]
        (tmp_path / "ci/run").unlink()
    manifest = Manifest({"ci/run": digest(b"mine"), "ci/run.new": digest(b"two")})
    (tmp_path / "ci/run").write_text("mine")
    (tmp_path / "ci/run.new").write_text("two")
    assert wrote(tmp_path, "three", manifest) is FileStatus.upgraded
    assert at(tmp_path) == {"ci/run": "three"}


def test_a_mark_without_its_end_takes_nothing_of_the_users_away():
    begun = with_block("", ["a"]).rpartition("a\n")[0] + "mine\n"
    assert with_block(begun, ["b"]).startswith(begun)


@pytest.mark.parametrize("before", ["", "mine\n", "mine", "mine\r\n"])
def test_lines_between_marks_are_added_once_and_renewed(before):
    once = with_block(before, ["a", "b"])
    assert once.startswith(before)
    assert "\n\n" not in once
    assert not once.startswith("\n")
    assert once.splitlines()[-3:-1] == ["a", "b"]
    assert with_block(once, ["a", "b"]) == once
    assert with_block(once + "below\n", ["c"]) == once.replace("a\nb", "c") + "below\n"
