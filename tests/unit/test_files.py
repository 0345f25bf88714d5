"""Whole or not at all, nothing left beside it, and an error that says what to do."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from goldmar.errors import StorageError
from goldmar.files import atomic_path, remove, write_atomically


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


def test_a_link_is_followed_and_stays_one(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


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
