"""stages.jsonl: read back as written, small, and refused where it is not what was written."""

import base64
import bz2
import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from goldmar.errors import GoldenError, StorageError
from goldmar.golden import Recording, approve, read_kept_stages, read_provenance
from goldmar.golden.stage_file import Origin, array_of, content_of, read_stages, stages_of, write_stages
from goldmar.records import Part, Provenance, Stage, Staged, Values

ORIGIN = Origin("thickness", "1.0", "sha256:1", "2")
CELLS = Values(["a"], ["thickness"], [1.5])


def part(array: np.ndarray, name: str = "") -> Part:
    return Part(name, array.dtype.str, array.shape, "0" * 64, {"mean": 0.5}, bz2.compress(array.tobytes()))


def staged(drawing_id: str = "a", array: np.ndarray | None = None) -> Staged:
    array = np.arange(6, dtype="<f4").reshape(2, 3) if array is None else array
    text = Part("", "text", (4,), "1" * 64, {}, bz2.compress(b"text"))
    return Staged(drawing_id, (Stage("decode", (part(array, "pixels"), part(np.float64(1.5)))), Stage("post", (text,))))


def provenance(digest: str = "sha256:1") -> Provenance:
    return Provenance("thickness", "1.0", digest, "worker", "", datetime(2026, 11, 21, tzinfo=UTC), reason="why")


# --- the file


def test_reads_back_what_was_written(tmp_path):
    written = [staged("図面/1"), staged("b"), Staged("refused", ())]
    write_stages(tmp_path / "s", ORIGIN, written)
    origin, found = read_stages(tmp_path / "s")
    assert origin == ORIGIN
    assert found == {one.drawing_id: one for one in written[:2]}


def test_the_same_bytes_for_the_same_stages(tmp_path):
    for name in ("one", "two"):
        write_stages(tmp_path / name, ORIGIN, [staged()])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    lines = (tmp_path / "one").read_text().splitlines()
    assert len(lines) == 3
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_large_part_is_kept_as_a_sample(tmp_path):
    noise = np.random.default_rng(0).normal(size=(100, 1001)).astype("<f4")
    write_stages(tmp_path / "s", ORIGIN, [staged(array=noise)])
    assert (tmp_path / "s").stat().st_size < 10_000
    _, found = read_stages(tmp_path / "s")
    kept = found["a"].stages[0].parts[0]
    assert kept.shape == (100, 1001)
    assert np.array_equal(array_of(kept), noise.ravel()[:: kept.step])
    assert 512 <= array_of(kept).size <= 1024


def test_a_long_text_keeps_its_digest_alone(tmp_path):
    noise = np.random.default_rng(0).integers(32, 127, 100_000).astype(np.uint8).tobytes()
    text = Part("", "text", (len(noise),), "1" * 64, {}, bz2.compress(noise))
    write_stages(tmp_path / "s", ORIGIN, [Staged("a", (Stage("postprocess", (text,)),))])
    assert read_stages(tmp_path / "s")[1]["a"].stages[0].parts == (replace(text, data=None),)


def test_large_data_that_is_none_is_left_out(tmp_path):
    broken = Part("", "<f4", (10,), "1" * 64, {}, b"x" * 100_000)
    write_stages(tmp_path / "s", ORIGIN, [Staged("a", (Stage("decode", (broken,)),))])
    assert read_stages(tmp_path / "s")[1]["a"].stages[0].parts[0].data is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-40],
        lambda content: content.replace(b"decode", b"encode", 1),
        lambda content: content + b"{}\n",
        lambda content: b"",
        lambda content: b"[]\n",
        lambda content: b"\xff\n",
        lambda content: content.replace(b'"schema": 1', b'"schema": 2'),
        lambda content: content.replace(b'"version"', b'"vision"'),
    ],
    ids=["cut", "edited", "longer", "empty", "a list", "no text", "another schema", "an unknown key"],
)
def test_another_file_than_was_written_is_refused(tmp_path, spoil):
    path = tmp_path / "thickness" / "stages.jsonl"
    write_stages(path, ORIGIN, [staged()])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(GoldenError, match=r"stages\.jsonl holds no stages that can be used") as refused:
        read_stages(path)
    assert "goldmar record thickness --stages" in refused.value.fix


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(GoldenError, match="cannot be read"):
        read_stages(tmp_path / "s")


def test_nothing_is_written_where_nothing_can_be(tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(StorageError):
        write_stages(tmp_path / "s", ORIGIN, [staged()])


# --- what a server may send

GOOD = {"name": "", "dtype": "<f4", "shape": [2], "sha256": "0" * 64, "summary": {}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": [-1]},
        {"shape": ["x"]},
        {"shape": [float("inf")]},
        {"shape": 3},
        {"dtype": "O"},
        {"dtype": "<f4,<f4"},
        {"dtype": "<U1000"},
        {"step": 0},
        {"data": "no base64"},
        {"data": 3},
        {"summary": {"mean": "x"}},
        {"summary": []},
    ],
    ids=str,
)
def test_a_part_that_makes_no_sense_is_refused(wrong):
    from goldmar.golden.stage_file import MALFORMED

    assert stages_of([{"stage": "decode", "parts": [GOOD]}])
    with pytest.raises(MALFORMED):
        stages_of([{"stage": "decode", "parts": [{**GOOD, **wrong}]}])


@pytest.mark.parametrize(
    ("shape", "content"),
    [((3,), b"12345678"), ((1,), b"12345678"), ((10**9,), b""), ((2,), None)],
    ids=["too short", "too long", "too large", "none"],
)
def test_data_that_does_not_fit_its_shape(shape, content):
    data = None if content is None else bz2.compress(content)
    with pytest.raises(ValueError, match=r"bytes|no data"):
        content_of(Part("", "<f4", shape, "", {}, data))


def test_data_that_unfolds_to_much_more_is_not_unfolded():
    bomb = bz2.compress(bytes(100 * 2**20))
    assert len(bomb) < 1000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has not the 8 bytes"):
            content_of(Part("", "<f4", (2,), "", {}, bomb))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20


def test_data_of_a_shape_beyond_reason_is_not_unfolded(monkeypatch):
    monkeypatch.setattr("goldmar.golden.stage_file._MAX_CONTENT", 8)
    content_of(Part("", "<f4", (2,), "", {}, bz2.compress(bytes(8))))
    with pytest.raises(ValueError, match="12 bytes are more than is read"):
        content_of(Part("", "<f4", (3,), "", {}, bz2.compress(bytes(12))))


def test_data_survives_json():
    data = base64.b64encode(bz2.compress(np.zeros(2, "<f4").tobytes())).decode()
    ((one,),) = [stage.parts for stage in stages_of([{"stage": "decode", "parts": [{**GOOD, "data": data}]}])]
    assert np.array_equal(array_of(one), np.zeros(2, np.float32))


# --- from obtained to golden


def record(folder, digest: str = "sha256:1", cells: Values = CELLS, *, stages: bool = True) -> None:
    begun = Recording(folder, "goldmar record thickness")
    begun.keep(cells, provenance(digest))
    if stages:
        begun.keep_stages([staged()])
    begun.finish()


def test_approval_takes_the_stages_along(tmp_path):
    record(tmp_path)
    assert read_kept_stages(tmp_path) == {}
    approve(tmp_path, provenance())
    assert list(read_kept_stages(tmp_path)) == ["a"]
    assert not list(tmp_path.glob("obtained*"))


@pytest.mark.parametrize(
    ("digest", "cells"),
    [("sha256:2", CELLS), ("sha256:1", Values(["a"], ["thickness"], [2.5]))],
    ids=["another archive", "other values"],
)
def test_stages_of_an_earlier_golden_are_stale(tmp_path, digest, cells):
    record(tmp_path)
    approve(tmp_path, provenance())
    record(tmp_path, digest, cells, stages=False)
    approve(tmp_path, provenance(digest))
    with pytest.raises(GoldenError, match="belongs to another golden or archive"):
        read_kept_stages(tmp_path)
    record(tmp_path, digest, cells)
    approve(tmp_path, provenance(digest))
    assert read_kept_stages(tmp_path)


def test_the_same_answers_approved_again_keep_their_stages(tmp_path):
    record(tmp_path)
    approve(tmp_path, provenance())
    record(tmp_path, stages=False)
    approve(tmp_path, provenance())
    assert read_kept_stages(tmp_path)


def test_without_provenance_nothing_says_what_they_belong_to(tmp_path):
    record(tmp_path)
    approve(tmp_path, provenance())
    (tmp_path / "provenance.toml").unlink()
    with pytest.raises(GoldenError, match="belongs to another"):
        read_kept_stages(tmp_path)


@pytest.mark.parametrize("digest", ["sha256:1", "sha256:2"])
def test_a_new_recording_removes_stages_that_no_longer_fit(tmp_path, digest):
    record(tmp_path)
    record(tmp_path, digest, stages=False)
    assert (tmp_path / "obtained.stages.jsonl").exists() == (digest == "sha256:1")


def test_edited_stages_are_not_approved(tmp_path):
    record(tmp_path)
    path = tmp_path / "obtained.stages.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(GoldenError, match=r"obtained\.stages\.jsonl does not belong to obtained\.csv"):
        approve(tmp_path, provenance())
    assert not (tmp_path / "expected.csv").exists()


def test_an_approval_that_was_cut_off_trusts_no_stages_and_can_be_finished(tmp_path, monkeypatch):
    record(tmp_path)
    approve(tmp_path, provenance())
    record(tmp_path, "sha256:2")
    with monkeypatch.context() as cut:

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        cut.setattr("goldmar.golden.store.write_provenance", fail)
        with pytest.raises(KeyboardInterrupt):
            approve(tmp_path, provenance("sha256:2"))
    assert read_provenance(tmp_path / "provenance.toml").archive_digest == "sha256:1"
    with pytest.raises(GoldenError, match="belongs to another"):
        read_kept_stages(tmp_path)
    approve(tmp_path, provenance("sha256:2"))
    assert read_kept_stages(tmp_path)
