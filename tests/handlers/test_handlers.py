"""The three handlers in TorchServe's own Service: answers, refusals and batches of both."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from drawing import NOMINAL_MM_PER_PX, read_sheet
from tensor import batch_tensor

from .attacks import ATTACKS, tiles
from .bad_drawings import BAD, GOOD, encoded, sheet_image
from .service import HANDLERS, MODELS, Reply, Worker, loaded, parameter, stage

PNG = GOOD["png"][0]
TEXT = base64.b64encode(PNG).decode()


def says_what_is_wrong(reply: Reply) -> bool:
    """A refusal: 4xx, JSON, code and a sentence in it."""
    body = reply.json
    return (
        400 <= reply.status < 500
        and reply.content_type == "application/json"
        and set(body) == {"code", "type", "message"}
        and body["code"] == reply.status
        and body["type"] in ("BadDrawing", "BadRequest")
        and len(body["message"].split()) >= 6
        and body["message"].endswith(".")
    )


def is_answer(model: str, body: Any) -> bool:
    match model:
        case "thickness":
            return set(body) == {"thickness"} and math.isfinite(body["thickness"])
        case "part_class":
            scores = body["scores"]
            return (
                len(scores) == 6
                and math.isclose(sum(scores.values()), 1, abs_tol=1e-5)
                and body["label"] == max(scores, key=scores.get)
            )
        case _:
            keys = {"label", "score", "x0", "y0", "x1", "y1"}
            return set(body) == {"boxes"} and all(set(box) == keys for box in body["boxes"])


def test_a_network_is_loaded_for_the_cpu(worker: Worker) -> None:
    assert not [layer for layer in worker.handler.model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("name", GOOD)
def test_good_drawings_are_answered(worker: Worker, name: str) -> None:
    reply = worker.ask(*GOOD[name])
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert is_answer(worker.model, reply.json)


@pytest.mark.parametrize("name", BAD)
def test_bad_drawings_are_refused(worker: Worker, name: str) -> None:
    assert says_what_is_wrong(worker.ask(*BAD[name]))


def test_the_same_drawing_gets_the_same_answer_whichever_way_it_arrives(worker: Worker) -> None:
    ways = [
        parameter(PNG, "image/png"),
        parameter(PNG),
        parameter(PNG, "application/octet-stream"),
        parameter(PNG, "text/plain"),
        parameter(PNG, "application/json"),
        parameter(PNG, "image/png", name="data"),
        parameter({"data": TEXT}, "application/json"),
        parameter(json.dumps({"data": TEXT}).encode(), "application/x-www-form-urlencoded"),
        parameter(json.dumps({"data": TEXT}).encode(), "text/plain"),
    ]
    replies = [worker.predict([[way]])[0] for way in ways]
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1


def test_bad_drawings_do_not_spoil_the_batch(worker: Worker) -> None:
    alone = worker.ask(PNG)
    replies = worker.predict([[parameter(*BAD[name])] for name in ("text", "truncated png")] + [[parameter(PNG)], []])
    assert [reply.status for reply in replies] == [400, 400, 200, 400]
    assert all(says_what_is_wrong(replies[i]) for i in (0, 1, 3))
    assert is_answer(worker.model, replies[2].json)
    assert numbers(replies[2].json) == pytest.approx(numbers(alone.json), rel=1e-4, abs=1e-5)


def test_every_answer_in_a_batch_belongs_to_its_drawing(worker: Worker) -> None:
    names = list(GOOD)
    alone = [worker.ask(*GOOD[name]) for name in names]
    together = worker.predict([[parameter(*GOOD[name])] for name in names])
    for name, one, other in zip(names, alone, together, strict=True):
        assert numbers(other.json) == pytest.approx(numbers(one.json), rel=1e-3, abs=1e-4), name


def numbers(value: Any) -> list[float]:
    """All numbers in an answer, in order."""
    if isinstance(value, dict):
        return [number for key in value for number in numbers(value[key])]
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, float) else []


def test_a_batch_of_nothing_but_bad_drawings_does_not_run_the_model(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    hook = worker.handler.model.register_forward_hook(lambda *_: runs.append(1))
    try:
        replies = worker.predict([[parameter(*BAD["text"])], [parameter(*BAD["1x1 png"])]])
        assert all(says_what_is_wrong(reply) for reply in replies)
        assert not runs
        worker.ask(PNG)
        assert runs
    finally:
        hook.remove()


def test_numbers_that_json_does_not_know_are_not_sent(thickness: Worker) -> None:
    def spoil(_module: object, _args: object, output: torch.Tensor) -> torch.Tensor:
        output[0] = math.nan
        return output

    hook = thickness.handler.model.register_forward_hook(spoil)
    try:
        spoiled, sound = thickness.predict([[parameter(PNG)], [parameter(PNG)]])
    finally:
        hook.remove()
    assert spoiled.status == 500
    assert "finite" in spoiled.json["message"]
    assert (sound.status, is_answer("thickness", sound.json)) == (200, True)


def test_a_shrunk_page_is_measured_in_its_own_millimetres(thickness: Worker) -> None:
    """A2 at 300 dpi is shrunk to fit; what the net reads in pixels is more paper than usual."""
    data = encoded(sheet_image(7016, 4961).convert("1"), "PNG", dpi=(300, 300))
    sheet = read_sheet(data)
    with torch.inference_mode():
        nominal = float(thickness.handler.model(batch_tensor([sheet])))
    assert sheet.mm_per_px > 1.3 * NOMINAL_MM_PER_PX
    want = nominal * sheet.mm_per_px / NOMINAL_MM_PER_PX
    assert thickness.ask(data).json["thickness"] == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("dpi", [300, 150])
def test_boxes_are_in_pixels_of_the_file(tmp_path: Path, dpi: int) -> None:
    size = (1600 * dpi // 300, 1200 * dpi // 300)
    data = encoded(sheet_image(*size), "PNG", dpi=(dpi, dpi))
    with loaded(stage("callouts", tmp_path)) as callouts:
        callouts.handler.model.head.bias.data[:2] += 4  # sees things everywhere, trained or not
        got = callouts.ask(data).json["boxes"]
        with torch.inference_mode():
            heat, geometry = callouts.handler.model(batch_tensor([read_sheet(data)]))
        want = callouts.modules["boxes"].decode(heat[0], geometry[0])
    assert got
    assert [box["label"] for box in got] == [box.label for box in want]
    scale = dpi / 37.5
    assert [box[edge] for box in got for edge in ("x0", "y0", "x1", "y1")] == pytest.approx(
        [getattr(box, edge) * scale for box in want for edge in ("x0", "y0", "x1", "y1")], rel=1e-4, abs=1e-2
    )


@pytest.mark.parametrize("model", MODELS)
def test_loading_sets_threads_and_evaluation(model: str, tmp_path: Path) -> None:
    folder = stage(model, tmp_path)
    config = folder / "model-config.yaml"
    config.write_text(config.read_text().replace("threads: 1", "threads: 3"))
    with loaded(folder) as worker:
        assert torch.get_num_threads() == 3
        assert not worker.handler.model.training


def test_weights_that_carry_code_are_not_loaded(tmp_path: Path) -> None:
    folder = stage("thickness", tmp_path)
    torch.save({"bins": Path("anything but numbers")}, folder / "weights.pt")
    with pytest.raises(Exception, match="Weights only load failed"), loaded(folder):
        pass


def test_weights_of_another_model_are_refused_at_load(tmp_path: Path) -> None:
    folder = stage("thickness", tmp_path)
    torch.save({"head.weight": torch.zeros(1)}, folder / "weights.pt")
    with pytest.raises(RuntimeError, match="state_dict"), loaded(folder):
        pass


def test_two_classes_in_model_py_are_refused_at_load(tmp_path: Path) -> None:
    folder = stage("thickness", tmp_path)
    with (folder / "model.py").open("a") as model:
        model.write("\n\nclass Another:\n    pass\n")
    with pytest.raises(ValueError, match="2 classes"), loaded(folder):
        pass


@pytest.mark.parametrize("model", MODELS)
def test_every_timeout_is_set(model: str) -> None:
    import yaml

    config = yaml.safe_load((HANDLERS / model / "model-config.yaml").read_text())
    assert {"startupTimeout", "responseTimeout", "minWorkers", "maxWorkers", "batchSize", "maxBatchDelay"} <= set(
        config
    )


@pytest.mark.parametrize("path", [*(HANDLERS / "common").glob("*.py"), *HANDLERS.glob("*/handler.py")], ids=str)
def test_nothing_that_serving_does_not_need_is_imported(path: Path) -> None:
    source = path.read_text()
    for module in ("torchvision", "captum", "goldmar", "cv2"):
        assert f"import {module}" not in source
        assert f"from {module}" not in source


# --- the code of the model itself fails


def test_a_fault_in_read_is_a_500_for_that_drawing_alone(thickness: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = GOOD["jpeg"][0]
    read = thickness.handler.read

    def broken(data: bytes) -> Any:
        return {}["a fault"] if data == marked else read(data)

    monkeypatch.setattr(thickness.handler, "read", broken)
    first, faulty, last = thickness.predict([[parameter(PNG)], [parameter(marked)], [parameter(PNG)]])
    assert (first.status, faulty.status, last.status) == (200, 500, 200)
    assert "server's log" in faulty.json["message"]
    assert "KeyError" not in faulty.json["message"]


def test_a_fault_in_answers_is_a_500_for_that_drawing_alone(thickness: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = thickness.handler.answers

    def broken(output: torch.Tensor, sheets: Any) -> Any:
        if any(sheet.pixels.shape[0] == rows for sheet in sheets):
            raise KeyError(rows)
        return answers(output, sheets)

    small = encoded(sheet_image(480, 200), "PNG")
    rows = read_sheet(small).pixels.shape[0]
    monkeypatch.setattr(thickness.handler, "answers", broken)
    first, faulty, last = thickness.predict([[parameter(PNG)], [parameter(small)], [parameter(PNG)]])
    assert (first.status, faulty.status, last.status) == (200, 500, 200)
    assert is_answer("thickness", last.json)


# --- what the model's configuration says of reading drawings


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "seconds: 10",
            "drawings may take 30 s, but TorchServe ends this worker when a batch takes 30 s: set",
        ),
        ("seconds: 0", "must be a number above 0"),
        ("second: 4", "second is not known"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused_at_load(tmp_path: Path, setting: str, says: str) -> None:
    folder = stage("thickness", tmp_path)
    config = folder / "model-config.yaml"
    config.write_text(config.read_text().replace("seconds: 5", setting))
    with pytest.raises(ValueError, match=says), loaded(folder):
        pass


def test_limits_are_those_of_the_configuration(tmp_path: Path) -> None:
    folder = stage("thickness", tmp_path)
    config = folder / "model-config.yaml"
    config.write_text(
        config.read_text().replace("seconds: 5", "seconds: 0.4").replace("memory_mb: 768", "memory_mb: 50")
    )
    with loaded(folder) as worker:
        slow = worker.ask(tiles(), "application/pdf")
        large = worker.ask(*ATTACKS["rgba within the limit"])
    assert "given up after 0.4 s" in slow.json["message"]
    assert large.status == 400
    assert "50 MB" in large.json["message"] or "given up" in large.json["message"]
