"""Whole or not at all, nothing left beside it, and an error that says what to do."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from goldmar.errors import StorageError
from goldmar.files import atomic_path, named, remove, write_atomically, write_named


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("data", "content"), [("図面\r\n", "図面\r\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_writes_text_as_utf8_and_bytes_as_they_are(tmp_path, data, content):
    path = tmp_path / "made" / "on the way" / "a.csv"
    write_atomically(path, data)
    assert path.read_bytes() == content
    assert names(path.parent) == ["a.csv"]


def test_a_new_file_gets_the_rights_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_body_that_raises_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")

    def body():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            assert temporary.parent == path.parent
            assert temporary.name.endswith(".tmp")
            assert path.read_text() == "old"
            raise error

    with pytest.raises(error):
        body()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


LINKS = {
    "to a file beside it": ("golden/gear/obtained.csv", "expected.csv"),
    "to a file elsewhere": ("golden/gear/obtained.csv", "../../outside/file"),
    "to nothing": ("golden/gear/obtained.csv", "not there"),
    "to itself": ("golden/gear/obtained.csv", "obtained.csv"),
    "to a device": ("golden/gear/obtained.csv", "/dev/null"),
    "to a folder": ("golden/gear/obtained.csv", "../../outside"),
    "in the place of the folder": ("golden/gear", "plate"),
    "in the place of the folder, to nothing": ("golden/gear", "not there"),
    "further up": ("golden", "outside"),
    "to itself, further up": ("golden", "golden"),
}


@pytest.mark.parametrize(("place", "target"), LINKS.values(), ids=LINKS)
def test_nothing_is_written_or_removed_through_a_link(tmp_path, place, target):
    for name in ("golden/plate/obtained.csv", "golden/gear/expected.csv", "outside/file", "outside/gear/obtained.csv"):
        write_atomically(tmp_path / name, "old")
    if place != "golden/gear/obtained.csv":
        (tmp_path / place).rename(tmp_path / "was there")
    (tmp_path / place).symlink_to(target)
    before = tree(tmp_path)
    path = tmp_path / "golden/gear/obtained.csv"
    with pytest.raises(StorageError, match=f"{place} is a link to {target}") as caught:
        write_atomically(path, "new")
    assert caught.value.exit_code == 3
    assert caught.value.fix
    assert tree(tmp_path) == before
    if place == "golden/gear/obtained.csv":
        remove(path)  # the link alone
        del before[place]
    else:
        with pytest.raises(StorageError, match="is a link"):
            remove(path)
    assert tree(tmp_path) == before


def tree(folder):
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.is_file() and path.read_text()
        for path in folder.rglob("*")
    }


def test_another_name_of_a_file_keeps_what_it_was(tmp_path):
    (tmp_path / "expected.csv").write_text("old")
    os.link(tmp_path / "expected.csv", tmp_path / "obtained.csv")
    write_atomically(tmp_path / "obtained.csv", "new")
    assert (tmp_path / "expected.csv").read_text() == "old"
    assert (tmp_path / "obtained.csv").read_text() == "new"


def test_a_path_that_the_user_typed(tmp_path, monkeypatch):
    """Links outside the project are the user's affair; those inside may have come with a pull request."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    (project / "link").symlink_to(elsewhere)
    monkeypatch.chdir(project)
    assert named(Path("reports"), project) == project / "reports"
    write_named(tmp_path / "link" / "a.md", "a", project)
    assert (elsewhere / "a.md").read_text() == "a"
    for path in (Path("link/b.md"), project / "link/b.md", Path("x/../link/b.md"), tmp_path / "link/../link"):
        with pytest.raises(StorageError, match="link is a link to"):
            write_named(path, "b", project)
    assert names(elsewhere) == ["a.md"]


def test_a_pipe_that_the_user_typed_takes_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_named(tmp_path / "pipe", "図", tmp_path)
        assert reader.stdout.read().decode() == "図"
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_takes_it_and_keeps_what_it_has(tmp_path, path):
    code = f"""
    from pathlib import Path
    from goldmar.files import write_named
    write_named(Path({path!r}), "second", Path.cwd())
    """
    with (tmp_path / "out").open("w") as out:
        out.write("first ")
        out.flush()
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, stdout=out, check=True, timeout=60)
    assert (tmp_path / "out").read_text() == "first second"


def test_a_device_that_the_user_typed_and_may_not_write_to(tmp_path):
    with pytest.raises(StorageError, match="could not be written"):
        write_named(Path("/dev/goldmar"), "x", tmp_path)


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not a regular file"):
        write_atomically(tmp_path / "pipe", "x")
    assert names(tmp_path) == ["pipe"]


def test_a_folder_is_named_in_the_error(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=f"{tmp_path}/folder could not be written"):
        write_atomically(tmp_path / "folder", "x")
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_cannot_be_written_in(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written") as caught:
        write_atomically(tmp_path / "file" / "below", "x")
    assert caught.value.fix
    assert caught.value.exit_code == 3


def test_an_error_about_another_file_passes_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        (tmp_path / "source that is not there").read_bytes()
    assert names(tmp_path) == []


def run(code, folder):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_a_full_disk_says_so_and_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    child = run(
        """
        import resource
        from pathlib import Path
        from goldmar.errors import StorageError
        from goldmar.files import write_atomically
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(Path("a"), "n" * 5000)
        except StorageError as error:
            print(error.what, error.fix)
        """,
        tmp_path,
    )
    said, _ = child.communicate(timeout=60)
    assert (
        said.decode().strip()
        == "a could not be written: File too large. The limit on file sizes is too low: ulimit -f unlimited"
    )
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_process_that_is_killed_half_way_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    child = run(
        """
        import time
        from pathlib import Path
        from goldmar.files import atomic_path
        with atomic_path(Path("a")) as temporary:
            temporary.write_text("half")
            print("now", flush=True)
            time.sleep(60)
        """,
        tmp_path,
    )
    with child:
        assert child.stdout.readline() == b"now\n"
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / "a").read_text() == "old"


def test_remove(tmp_path):
    (tmp_path / "a").write_text("x")
    remove(tmp_path / "a")
    remove(tmp_path / "a")
    assert names(tmp_path) == []
    with pytest.raises(StorageError, match="could not be written"):
        remove(tmp_path)
