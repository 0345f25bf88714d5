"""What a handler tells of its stages: to those who ask, where it is turned on, and the same on every platform."""

import base64
import bz2
import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import stages
import torch
from drawing import read_sheet
from tensor import batch_tensor

from .bad_drawings import GOOD
from .service import HANDLERS, Reply, Worker, loaded, parameter, stage

PNG = GOOD["png"][0]
ASKING = {"X-Goldmar-Stages": "full"}
NAMES = ["decode", "preprocess", "inference", "postprocess"]


def ask(worker: Worker, *requests: tuple[bytes, dict[str, str]]) -> list[Reply]:
    return worker.predict([[parameter(data)] for data, _ in requests], [headers for _, headers in requests])


def parts_of(reply: Reply) -> dict[str, dict[str, dict]]:
    """Stage -> part -> what is said of it."""
    assert reply.content_type == stages.CONTENT_TYPE
    return {each["stage"]: {part["name"]: part for part in each["parts"]} for each in reply.json["stages"]}


def data_of(part: dict) -> np.ndarray:
    content = bz2.decompress(base64.b64decode(part["data"]))
    return np.frombuffer(content, part["dtype"]).reshape(part["shape"])


# --- the handlers


def test_every_stage_is_told_with_its_data(worker: Worker) -> None:
    plain, asked = ask(worker, (PNG, {})) + ask(worker, (PNG, ASKING))
    said = parts_of(asked)
    assert list(said) == NAMES
    sheet = read_sheet(PNG)
    tensor = batch_tensor([sheet])
    assert np.array_equal(data_of(said["decode"]["pixels"]), sheet.pixels)
    assert data_of(said["decode"]["mm_per_px"]) == sheet.mm_per_px
    assert np.array_equal(data_of(said["preprocess"][""]), tensor[0].numpy())
    with torch.inference_mode():
        output = worker.handler.model(tensor)
    for part, rows in zip(said["inference"].values(), output if isinstance(output, tuple) else (output,), strict=True):
        assert np.array_equal(data_of(part), rows[0].numpy())
    assert asked.json["answer"] == plain.json
    text = bz2.decompress(base64.b64decode(said["postprocess"][""]["data"]))
    assert json.loads(text) == plain.json
    assert (plain.content_type, asked.status) == ("application/json", 200)


def test_a_digest_comes_without_data(thickness: Worker) -> None:
    (reply,) = ask(thickness, (PNG, {"X-Goldmar-Stages": "digest"}))
    (full,) = ask(thickness, (PNG, ASKING))
    short, long = parts_of(reply), parts_of(full)
    for stage_, parts in long.items():
        for name, part in parts.items():
            del part["data"]
            assert short[stage_][name] == part
    assert len(reply.body) < 2000


def test_in_one_batch_each_gets_what_it_asked_for(thickness: Worker) -> None:
    """Drawings of two sizes, one refused in the middle, and only some that ask."""
    other = GOOD["jpeg"][0]
    replies = ask(thickness, (PNG, {}), (b"no drawing", ASKING), (other, ASKING), (PNG, {"X-Goldmar-Stages": "digest"}))
    plain, refused, second, third = replies
    assert (plain.content_type, set(plain.json)) == ("application/json", {"thickness"})
    assert (refused.status, refused.json["stages"]) == (400, [])
    assert refused.json["answer"]["type"] == "BadDrawing"
    assert np.array_equal(data_of(parts_of(second)["decode"]["pixels"]), read_sheet(other).pixels)
    assert np.array_equal(data_of(parts_of(second)["preprocess"][""]), batch_tensor([read_sheet(other)])[0].numpy())
    assert "data" not in parts_of(third)["decode"]["pixels"]
    alone = parts_of(ask(thickness, (PNG, ASKING))[0])
    for name in ("decode", "preprocess"):
        assert [p["sha256"] for p in parts_of(third)[name].values()] == [p["sha256"] for p in alone[name].values()]
    assert third.json["answer"]["thickness"] == pytest.approx(plain.json["thickness"])


def test_one_that_fails_at_the_end_has_the_stages_before(thickness: Worker, monkeypatch) -> None:
    monkeypatch.setattr(thickness.handler, "answers", lambda output, sheets: [{"thickness": float("nan")}])
    (reply,) = ask(thickness, (PNG, ASKING))
    assert (reply.status, list(parts_of(reply))) == (500, NAMES[:3])


def test_a_proxy_may_have_made_the_letters_small(thickness: Worker) -> None:
    (reply,) = ask(thickness, (PNG, {"x-goldmar-stages": "digest"}))
    assert list(parts_of(reply)) == NAMES


@pytest.mark.parametrize("word", ["", "yes", "FULL", "full, digest"])
def test_another_word_asks_for_nothing(thickness: Worker, word: str) -> None:
    (reply,) = ask(thickness, (PNG, {"X-Goldmar-Stages": word}))
    assert reply.content_type == "application/json"


@pytest.mark.parametrize("value", ["off", "OFF", "false", "of"])
def test_the_environment_turns_it_off_even_misspelt(thickness: Worker, monkeypatch, value: str) -> None:
    monkeypatch.setenv("GOLDMAR_STAGES", value)
    (reply,) = ask(thickness, (PNG, ASKING))
    assert (reply.content_type, set(reply.json)) == ("application/json", {"thickness"})


@pytest.mark.parametrize("line", ["", "stages: false", "stages: off"])
def test_without_the_flag_the_header_is_ignored(tmp_path: Path, line: str) -> None:
    folder = stage("thickness", tmp_path)
    config = folder / "model-config.yaml"
    text, count = re.subn(r"stages: true.*", line, config.read_text())
    assert count == 1
    config.write_text(text)
    with loaded(folder) as worker:
        (reply,) = ask(worker, (PNG, ASKING))
    assert (reply.content_type, set(reply.json)) == ("application/json", {"thickness"})


def test_unasked_nothing_is_computed(thickness: Worker, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        msg = "nobody asked"
        raise AssertionError(msg)

    module = thickness.handler.keep.__func__.__globals__  # the one that this handler was loaded with
    for name in ("_leaves", "_row", "describe"):
        monkeypatch.setitem(module, name, refuse)
    (reply,) = ask(thickness, (PNG, {}))
    assert reply.status == 200
    (asked,) = ask(thickness, (PNG, ASKING))
    assert asked.status == 503  # the trap works


def test_what_was_kept_of_one_batch_is_gone_in_the_next(thickness: Worker) -> None:
    ask(thickness, (PNG, ASKING), (PNG, {}))
    first, second = ask(thickness, (PNG, {}), (PNG, ASKING))
    assert first.content_type == "application/json"
    assert list(parts_of(second)) == NAMES


def test_after_a_batch_that_raised_the_next_one_is_as_ever(thickness: Worker, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(thickness.handler, "answers", lambda output, sheets: 1 / 0)
        (reply,) = ask(thickness, (PNG, ASKING))
        assert reply.status == 503
    assert not thickness.handler._asked  # nothing of it is held until the next one comes
    (reply,) = ask(thickness, (PNG, {}))
    assert (reply.status, reply.content_type) == (200, "application/json")


# --- a handler that is no DrawingHandler

MEAN_NET = """
import torch


class MeanNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, drawings):
        return drawings.mean(dim=(1, 2)) * self.scale
"""


def test_the_handler_in_the_guide_tells_its_stages(tmp_path: Path) -> None:
    guide = (HANDLERS.parent / "docs/stages.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert len(code[code.index("class ") :].splitlines()) <= 20
    manifest = {"handler": "handler.py", "modelFile": "model.py", "serializedFile": "weights.pt"}
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "MAR-INF/MANIFEST.json").write_text(
        json.dumps({"model": {**manifest, "modelName": "mean", "configFile": "model-config.yaml"}})
    )
    (tmp_path / "handler.py").write_text(code)
    (tmp_path / "model.py").write_text(MEAN_NET)
    (tmp_path / "model-config.yaml").write_text("handler:\n  stages: true\n")
    shutil.copy(HANDLERS / "common/stages.py", tmp_path)
    torch.save({"scale": torch.ones(1)}, tmp_path / "weights.pt")
    with loaded(tmp_path) as worker:
        plain, asked = ask(worker, (PNG, {}), (GOOD["jpeg"][0], ASKING))
    assert set(plain.json) == {"mean"}
    said = parts_of(asked)
    assert list(said) == NAMES
    assert data_of(said["decode"][""]).shape == (64, 64)
    assert np.array_equal(data_of(said["preprocess"][""]), data_of(said["decode"][""]).astype(np.float32) / 255)
    assert data_of(said["inference"][""]) == pytest.approx(asked.json["answer"]["mean"])


# --- digests


def digest(value: object) -> str:
    return str(stages.describe(value)[0]["sha256"])


def test_a_digest_is_what_the_documentation_says() -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    want = hashlib.sha256(b"<f4 [2, 3]\n" + array.tobytes()).hexdigest()
    part, content = stages.describe(array)
    assert part == {
        "dtype": "<f4",
        "shape": [2, 3],
        "sha256": want,
        "summary": {"nonzero": 5, "not_finite": 0, "min": 0.0, "max": 5.0, "mean": 2.5},
    }
    assert content == array.tobytes()
    assert (
        want == "2be800896b4ceeb4f146ef8cb3fae541575a2a75aae559323311a6a393adc896"
    )  # written down: no platform and no release of numpy may move it


@pytest.mark.parametrize(
    "same",
    [
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)),
        np.arange(12, dtype="<f4")[::2].reshape(2, 3) / 2,
        torch.arange(6, dtype=torch.float32).reshape(2, 3),
        torch.arange(6, dtype=torch.float32).reshape(2, 3).requires_grad_(),
        torch.arange(6, dtype=torch.float32).reshape(3, 2).T.contiguous().T.reshape(2, 3),
        torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    ],
)
def test_byte_order_layout_and_library_are_of_no_matter(same: object) -> None:
    assert digest(same) == digest(np.arange(6, dtype="<f4").reshape(2, 3))


def test_values_shapes_and_types_are() -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    others = [
        array.reshape(3, 2),
        array.astype("<f8"),
        array + 1,
        array.ravel(),
        array.astype("<i4"),
        1.0,
        1,
        True,
        "1",
    ]
    assert len({digest(array), *map(digest, others)}) == len(others) + 1


@dataclass
class Sheet:
    pixels: object
    scale: float


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (torch.zeros(2), [""]),
        ((torch.zeros(2), torch.ones(1)), ["[0]", "[1]"]),
        ({"heat": torch.zeros(2), "boxes": [{"x": 1.0}]}, ["heat", "boxes[0].x"]),
        (Sheet(np.zeros((2, 2)), 0.5), ["pixels", "scale"]),
        ([0.5, 1.5], [""]),
        ((1, 2), [""]),
        ("text", [""]),
        ([], []),
        (None, [""]),
    ],
)
def test_parts_are_named_by_their_path(value: object, names: list[str]) -> None:
    collected = stages._Collected(with_data=True)
    collected.add("decode", value)
    (told,) = collected.stages
    assert [part["name"] for part in told["parts"]] == names
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    "value",
    [
        np.array([np.nan, np.inf, 1.0]),
        np.zeros((0, 3), np.float32),
        np.array(["a"]),
        np.array([1 + 2j]),
        torch.eye(2).to_sparse(),
        10**30,
        float("nan"),
        b"bytes",
        object(),
        "\ud800",
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_that_a_handler_may_hold_fails_the_request(value: object) -> None:
    collected = stages._Collected(with_data=True)
    collected.add("decode", value)
    json.dumps(collected.stages, allow_nan=False)
    assert digest(value) == digest(value)


def test_data_stops_where_an_answer_would_be_too_long(monkeypatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 1000, np.uint8)
    monkeypatch.setattr(stages, "MAX_ANSWER", 4000)
    collected = stages._Collected(with_data=True)
    for name in ("decode", "preprocess", "inference"):
        collected.add(name, noise)
    assert ["data" in told["parts"][0] for told in collected.stages] == [True, True, False]
    assert all(told["parts"][0]["sha256"] == digest(noise) for told in collected.stages)


def test_a_large_array_is_not_compressed(monkeypatch) -> None:
    monkeypatch.setattr(stages, "MAX_PART", 10)
    collected = stages._Collected(with_data=True)
    collected.add("decode", np.zeros(11, np.uint8))
    assert "data" not in collected.stages[0]["parts"][0]


def test_what_is_done_to_a_value_afterwards_is_not_seen() -> None:
    collected = stages._Collected(with_data=True)
    array = np.zeros(3)
    collected.add("decode", array)
    array += 1
    assert collected.stages[0]["parts"][0]["sha256"] == digest(np.zeros(3))
