"""Building archives: the same bytes, the same as torch-model-archiver's, whole or not at all."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from goldmar.archive import build, digest, read, source_digest
from goldmar.errors import ArchiveError, StorageError

HANDLER = """
from drawing import size
from preprocess import to_number


class Handler:
    def initialize(self, context):
        self.context = context

    def handle(self, data, context):
        return [{"size": size(row), "number": to_number(row)} for row in data]
"""
CONFIG = "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 4\nmaxBatchDelay: 5\nstartupTimeout: 60\nresponseTimeout: 30\n"
FILES = {
    "handler.py": HANDLER,
    "model.py": "class Net:\n    pass\n",
    "preprocess.py": "def to_number(row):\n    return 1\n",
    "boxes.py": "",
    "weights.pt": "not really weights\n" * 1000,
    "model-config.yaml": CONFIG,
    "requirements.txt": "numpy\n",
    "archive.toml": 'version = "1.2"\ncommon = ["drawing.py"]\nextra = ["labels/index_to_name.json"]\n',
    "labels/index_to_name.json": '{"0": "plate"}',
    "MODEL_CARD.md": "# Stays at home",
}
MEMBERS = (
    "MAR-INF/MANIFEST.json",
    "boxes.py",
    "drawing.py",
    "handler.py",
    "index_to_name.json",
    "model-config.yaml",
    "model.py",
    "preprocess.py",
    "requirements.txt",
    "weights.pt",
)


def make(root: Path, order: int = 1) -> Path:
    """A handler directory `part` with a `common` beside it; `order` -1 makes the files in reverse."""
    for name, text in list(FILES.items())[::order]:
        path = root / "part" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "common").mkdir(exist_ok=True)
    (root / "common/drawing.py").write_text("def size(row):\n    return len(row)\n", encoding="utf-8")
    return root / "part"


@pytest.fixture
def handler(tmp_path) -> Path:
    return make(tmp_path / "handlers")


BUILD = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[3], 8))
from goldmar.archive import build
print(build(Path(sys.argv[1]), Path(sys.argv[2])).digest)
"""


def build_elsewhere(handler: Path, out: Path, *, cwd: Path, umask: str = "022", **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, os.path.relpath(handler, cwd), os.path.relpath(out, cwd), umask],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_what_goes_in(handler, tmp_path):
    built = build(handler, tmp_path / "store")
    assert built.path == tmp_path / "store/part.mar"
    assert (built.model, built.version, built.members) == ("part", "1.2", MEMBERS)
    with zipfile.ZipFile(built.path) as archive:
        assert archive.testzip() is None
        assert tuple(archive.namelist()) == MEMBERS
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        # TorchServe reads the zip as a stream, which a stored member with its size behind it would break.
        assert all(not info.flag_bits & 8 for info in archive.infolist())
        assert archive.read("weights.pt") == (handler / "weights.pt").read_bytes()
        assert archive.read("index_to_name.json") == b'{"0": "plate"}'
    manifest = read(built.path)
    assert (manifest.model, manifest.version, manifest.handler) == ("part", "1.2", "handler.py")
    assert manifest.members == MEMBERS


def test_same_bytes_whatever_the_clock_umask_folder_order_or_time_zone(tmp_path, monkeypatch):
    first, second = make(tmp_path / "a/handlers"), make(tmp_path / "b/deeper/handlers", order=-1)
    for number, path in enumerate(sorted(second.rglob("*"))):
        os.utime(path, (10**9 + 10**6 * number, 10**9 + 10**6 * number))
        path.chmod(0o700)
    (tmp_path / "cwd").mkdir()
    one = build_elsewhere(first, tmp_path / "1", cwd=tmp_path, umask="077", TZ="Asia/Tokyo")
    two = build_elsewhere(
        second, tmp_path / "2", cwd=tmp_path / "cwd", umask="000", TZ="America/Lima", PYTHONHASHSEED="7"
    )
    monkeypatch.setattr(time, "time", lambda: 4e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(4e9))
    three = build(first, tmp_path / "3")
    assert one == two == three.digest
    assert len({(tmp_path / out / "part.mar").read_bytes() for out in "123"}) == 1


def test_a_changed_byte_changes_the_digest_and_a_changed_zip_does_not(handler, tmp_path):
    built = build(handler, tmp_path)
    assert digest(built.path) == built.digest
    repacked = tmp_path / "repacked.mar"
    with zipfile.ZipFile(built.path) as old, zipfile.ZipFile(repacked, "w", zipfile.ZIP_DEFLATED) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    assert repacked.read_bytes() != built.path.read_bytes()
    assert digest(repacked) == built.digest
    (handler / "weights.pt").write_text("other weights")
    assert build(handler, tmp_path).digest != built.digest


def test_the_digest_of_the_sources_is_that_of_the_archive(handler, tmp_path):
    built = build(handler, tmp_path / "store")
    assert source_digest(handler) == built.digest
    for changed in (handler / "labels/index_to_name.json", handler.parent / "common/drawing.py"):
        before = source_digest(handler)
        changed.write_text(changed.read_text() + " ")
        assert source_digest(handler) != before
    before = source_digest(handler)
    (handler / "weights.pt").unlink()
    assert source_digest(handler) not in (before, built.digest)


def test_the_digest_can_be_had_with_sha256sum(handler, tmp_path):
    built = build(handler, tmp_path / "store")
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(tmp_path / "out")
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert built.digest == f"sha256:{done.stdout.split()[0]}"


@pytest.mark.parametrize(
    ("serialized", "network"),
    [("weights.pt", "model.py"), ("trees.onnx", None), ("trees.json", "net.py"), (None, None)],
)
def test_equal_to_what_torch_model_archiver_builds(handler, tmp_path, serialized, network):
    parts = {"serialized_file": serialized, "model_file": network}
    for usual, name in (("weights.pt", serialized), ("model.py", network)):
        if name is None:
            (handler / usual).unlink()
        elif name != usual:
            (handler / usual).rename(handler / name)
    with (handler / "archive.toml").open("a") as recipe:
        recipe.writelines(f'{key} = "{name}"\n' for key, name in parts.items() if name)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    extra = [handler / "boxes.py", handler / "preprocess.py", handler / "labels/index_to_name.json"]
    extra.append(handler.parent / "common/drawing.py")
    subprocess.run(
        [
            *(sys.executable, "-m", "model_archiver.model_packaging"),
            *("--model-name", "part", "--version", "1.2", "--handler", handler / "handler.py"),
            *(f"--{key.replace('_', '-')}={handler / name}" for key, name in parts.items() if name),
            *("--config-file", handler / "model-config.yaml", "--requirements-file", handler / "requirements.txt"),
            *("--extra-files", ",".join(map(str, extra)), "--export-path", theirs),
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=True,
        timeout=60,
    )
    ours = build(handler, tmp_path / "ours").path
    with zipfile.ZipFile(theirs / "part.mar") as a, zipfile.ZipFile(ours) as b:
        assert sorted(a.namelist()) == sorted(b.namelist())
        manifest = "MAR-INF/MANIFEST.json"
        for name in a.namelist():
            if name != manifest:
                assert a.read(name) == b.read(name), name
        their_manifest, our_manifest = json.loads(a.read(manifest)), json.loads(b.read(manifest))
        assert set(their_manifest) == set(our_manifest)
        del their_manifest["createdOn"], our_manifest["createdOn"]
        assert their_manifest == our_manifest
    # What it builds, dates and deflate included, is read all the same.
    assert read(theirs / "part.mar") == read(ours)
    assert (read(ours).serialized_file, read(ours).model_file) == (serialized, network)
    assert digest(theirs / "part.mar").startswith("sha256:")


def test_a_large_file_is_copied_in_pieces(handler, tmp_path):
    content = os.urandom(9 * 1024 * 1024 + 17)
    (handler / "weights.pt").write_bytes(content)
    built = build(handler, tmp_path)
    with zipfile.ZipFile(built.path) as archive:
        assert hashlib.sha256(archive.read("weights.pt")).digest() == hashlib.sha256(content).digest()
    assert digest(built.path) == built.digest


def test_builds_at_once_do_not_disturb_each_other(handler, tmp_path):
    (handler / "weights.pt").write_bytes(os.urandom(1024 * 1024))
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: build(handler, tmp_path / "store"), range(32)))
    assert len({one.digest for one in built}) == 1
    assert digest(built[0].path) == built[0].digest
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["part.mar"]


def test_a_refused_build_leaves_the_old_archive(handler, tmp_path):
    old = build(handler, tmp_path / "store").path.read_bytes()
    (handler / "handler.py").write_text("from .common import x\n")
    with pytest.raises(ArchiveError):
        build(handler, tmp_path / "store")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "store").iterdir()] == [("part.mar", old)]


LIMITED = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from goldmar.archive import build
from goldmar.errors import StorageError
try:
    build(Path(sys.argv[1]), Path(sys.argv[2]))
except StorageError as error:
    print(error.what, error.fix, int(error.exit_code))
"""


def test_a_full_disk_leaves_the_old_archive_and_no_litter(handler, tmp_path):
    old = build(handler, tmp_path / "store").path.read_bytes()
    (handler / "weights.pt").write_bytes(bytes(1024 * 1024))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, handler, tmp_path / "store"], capture_output=True, text=True, timeout=60
    )
    assert "could not be written" in done.stdout, done.stderr
    assert done.stdout.rstrip().endswith(" 3")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "store").iterdir()] == [("part.mar", old)]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY  # the limit was the child's alone


def test_ctrl_c_leaves_the_old_archive_and_no_litter(handler, tmp_path):
    old = build(handler, tmp_path / "store").path.read_bytes()
    (handler / "weights.pt").unlink()
    os.mkfifo(tmp_path / "never")  # reading it blocks, which holds the build in the middle of the copy
    code = (
        "import pathlib, sys, goldmar.archive.writer as w, goldmar.archive.recipe as r\n"
        "store, fifo, part = map(pathlib.Path, sys.argv[1:])\n"
        "(part / 'weights.pt').write_bytes(b'')\n"
        "original = w._copy\n"
        "def copy(source, name, archive):\n"
        "    return original(fifo if name == 'weights.pt' else source, name, archive)\n"
        "w._copy = copy\n"
        "w.build(part, store)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "store", tmp_path / "never", handler], stderr=subprocess.PIPE
    )
    with (tmp_path / "never").open("wb"):  # opens once the build reads from it
        during = sorted(path.name for path in (tmp_path / "store").iterdir())
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=30)
    assert len(during) == 2
    assert b"KeyboardInterrupt" in error
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "store").iterdir()] == [("part.mar", old)]


def test_a_store_that_cannot_be_made_is_said(handler, tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        build(handler, tmp_path / "store")


def test_weights_that_grow_while_they_are_copied_are_refused(handler, tmp_path, monkeypatch):
    original = Path.stat

    def smaller(self, **kw):
        found = original(self, **kw)
        if self.name != "weights.pt":
            return found
        return os.stat_result((*found[:6], found.st_size - 1, *found[7:10]))

    monkeypatch.setattr(Path, "stat", smaller)
    with pytest.raises(ArchiveError, match="changed while it was being copied"):
        build(handler, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_link_within_the_handlers_counts_as_its_file(handler, tmp_path):
    before = build(handler, tmp_path).digest
    shutil.move(handler / "boxes.py", handler.parent / "common/the_boxes.py")
    (handler / "boxes.py").symlink_to("../common/the_boxes.py")
    assert build(handler, tmp_path).digest == before


def test_torchscript_weights_need_no_model_file(handler, tmp_path):
    (handler / "model.py").unlink()
    with zipfile.ZipFile(handler / "weights.pt", "w") as archive:
        archive.writestr("net/code/__torch__.py", "")
    built = build(handler, tmp_path)
    assert read(built.path).model_file is None


def test_the_model_may_have_another_name_than_its_folder(handler, tmp_path):
    (handler / "archive.toml").write_text('version = "2"\nmodel = "part-v2"\ncommon = ["drawing.py"]\n')
    built = build(handler, tmp_path)
    assert (built.path.name, read(built.path).model) == ("part-v2.mar", "part-v2")
