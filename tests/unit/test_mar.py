"""Reading archives that somebody else built, and refusing those that are broken or mean harm."""

import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from goldmar.archive import verify
from goldmar.errors import ArchiveError
from goldmar.mar import digest, read, unpack
from goldmar.zips import content_digest

MODEL = {"modelName": "part", "modelVersion": "1.0", "handler": "image_classifier", "serializedFile": "net.pt"}
MANIFEST = {"createdOn": "01/02/2024 03:04:05", "runtime": "python", "model": MODEL, "archiverVersion": "0.12.0"}


def mar(path: Path, members: dict[str, bytes | str] | None = None, manifest: object = MANIFEST) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members if members is not None else {"net.pt": b"weights"}).items():
            archive.writestr(name, content)
        if manifest is not None:
            archive.writestr("MAR-INF/MANIFEST.json", manifest if isinstance(manifest, str) else json.dumps(manifest))
    return path


def changed(**model: object) -> dict[str, object]:
    return {**MANIFEST, "model": {key: value for key, value in {**MODEL, **model}.items() if value is not None}}


def test_a_built_in_handler_needs_no_file(tmp_path):
    manifest = read(mar(tmp_path / "part.mar"))
    assert (manifest.model, manifest.version, manifest.handler_file) == ("part", "1.0", None)
    assert manifest.members == ("MAR-INF/MANIFEST.json", "net.pt")


@pytest.mark.parametrize(
    ("handler", "file"),
    [("my.py", "my.py"), ("my", "my.py"), ("my.py:entry", "my.py"), ("my:entry", "my.py"), ("base_handler", None)],
)
def test_where_the_handler_is(tmp_path, handler, file):
    path = mar(tmp_path / "part.mar", {"net.pt": b"", "my.py": ""}, changed(handler=handler))
    assert read(path).handler_file == file


def test_folders_inside_are_unpacked(tmp_path):
    path = mar(tmp_path / "part.mar", {"net.pt": b"x" * 10**7, "tokens/a.txt": "a", "tokens/": ""})
    (tmp_path / "out").mkdir()
    assert unpack(path, tmp_path / "out") == read(path)
    assert (tmp_path / "out/tokens/a.txt").read_text() == "a"
    assert (tmp_path / "out/net.pt").stat().st_size == 10**7


BROKEN_MANIFESTS = {
    "absent": (None, "has no MAR-INF/MANIFEST.json"),
    "not JSON": ("{", "is not JSON"),
    "not UTF-8": ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "is not JSON"),
    "a list": ([], "has no table `model`"),
    "no model": ({"runtime": "python"}, "has no table `model`"),
    "no runtime": ({"model": MODEL}, "has no `runtime`"),
    "other runtime": ({**MANIFEST, "runtime": "LSP"}, "has the runtime 'LSP'"),
    "no name": (changed(modelName=None), "has no `modelName`"),
    "no version": (changed(modelVersion=None), "has no `modelVersion`"),
    "version a number": (changed(modelVersion=1.0), "has no `modelVersion`"),
    "no handler": (changed(handler=None), "has no `handler`"),
    "weights not there": (changed(serializedFile="other.pt"), "names 'other.pt' as its serializedFile"),
    "handler not there": (changed(handler="mine.py"), "names 'mine.py' as its handler"),
    "model not there": (changed(modelFile="model.py"), "names 'model.py' as its modelFile"),
    "config not there": (changed(configFile="c.yaml"), "names 'c.yaml' as its configFile"),
    "requirements not there": (changed(requirementsFile="r.txt"), "names 'r.txt' as its requirementsFile"),
    "file name a list": (changed(configFile=["c"]), "says ['c'] for `configFile`"),
}


@pytest.mark.parametrize(("manifest", "said"), BROKEN_MANIFESTS.values(), ids=BROKEN_MANIFESTS)
def test_a_broken_manifest(tmp_path, manifest, said):
    path = mar(tmp_path / "part.mar", manifest=manifest)
    for reader in (read, verify):
        with pytest.raises(ArchiveError) as caught:
            reader(path)
        assert said in caught.value.what
        assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *(
            (name, "would be written outside")
            for name in (".", "../evil.py", "a/../../evil.py", "/etc/evil", "C:/evil")
        ),
        ("a\\..\\evil", "would be written outside"),
        ("net.pt\0.py", "has a control character in its name"),
    ],
)
def test_names_that_lead_outside(tmp_path, name, words):
    path = mar(tmp_path / "part.mar", {"net.pt": b"", name.replace("\0", "N"): b""})
    if "\0" in name:  # zipfile does not write such a name, so it is patched in
        path.write_bytes(path.read_bytes().replace(b"net.ptN.py", b"net.pt\0.py"))
    (tmp_path / "out").mkdir()
    for reader in (read, digest, lambda path: unpack(path, tmp_path / "out")):
        with pytest.raises(ArchiveError, match=words):
            reader(path)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_inside(tmp_path):
    path = mar(tmp_path / "part.mar")
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'link' is a symbolic link"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path):
    path = mar(tmp_path / "part.mar")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net.pt", b"other")
    with pytest.raises(ArchiveError, match="is there twice"):
        read(path)


def test_an_encrypted_member(tmp_path):
    path = mar(tmp_path / "part.mar")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="is encrypted"):
        digest(path)


def test_one_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "part.mar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net.pt", b"the weights")
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(MANIFEST))
    path.write_bytes(path.read_bytes().replace(b"the weights", b"thE weights"))
    with pytest.raises(ArchiveError, match="no sound zip"):
        verify(path)


@pytest.mark.parametrize("keep", [0, 10, 100, -1])
def test_cut_short(tmp_path, keep):
    path = mar(tmp_path / "part.mar", {"net.pt": bytes(range(256))})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArchiveError, match="no sound zip"):
        verify(path)


def test_no_archive_at_all(tmp_path):
    with pytest.raises(ArchiveError, match="There is no archive"):
        read(tmp_path / "part.mar")
    with pytest.raises(ArchiveError, match="cannot be read"):
        read(tmp_path)


def test_verify_compares_with_what_it_is_given(tmp_path):
    path = mar(tmp_path / "part.mar")
    good, bad = digest(path), "sha256:" + "0" * 64
    assert verify(path).digest == verify(path, good).digest == good
    with pytest.raises(ArchiveError, match="is not the archive it should be"):
        verify(path, bad)
    with pytest.raises(ArchiveError, match="is no digest"):
        verify(path, good.upper())


def test_verify_compares_with_the_file_beside(tmp_path):
    path = mar(tmp_path / "part.mar")
    beside = tmp_path / "part.mar.sha256"
    beside.write_text(f"{digest(path)}  part.mar\n")
    assert (verify(path).model, verify(path).version) == ("part", "1.0")
    shutil.copy(mar(tmp_path / "other.mar", {"net.pt": b"other"}), path)
    with pytest.raises(ArchiveError, match=r"part.mar.sha256 says sha256:"):
        verify(path)
    beside.write_text("")
    with pytest.raises(ArchiveError, match="is no digest"):
        verify(path)


def test_the_digest_does_not_depend_on_the_order():
    pairs = [("b", "1"), ("a", "2"), ("é", "3")]
    assert content_digest(pairs) == content_digest(reversed(pairs))
    assert content_digest(pairs) != content_digest([("a", "1"), ("b", "2"), ("é", "3")])
