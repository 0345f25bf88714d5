"""Maps to boxes, in an order that never depends on scores."""

import pytest
import torch

from training.handlers import load
from training.train_callouts import targets

boxes = load("callouts", "boxes")


def label(*holes: tuple[float, float, float, float]) -> dict[str, object]:
    return {"holes": list(holes), "title_block": (100.0, 200.0, 360.0, 250.0)}


def as_logits(heat: torch.Tensor) -> torch.Tensor:
    return torch.logit(heat.clamp(0.001, 0.999))


def test_decoding_targets_gives_the_boxes_back() -> None:
    truth = label((12.0, 20.0, 26.0, 34.0), (60.0, 18.0, 100.0, 58.0))
    heat, geometry, known = targets(truth, (0, 0), 112, 160)
    assert int(known.sum()) == 3
    found = boxes.decode(as_logits(heat), geometry)
    assert [box.label for box in found] == ["hole", "hole", "title_block"]
    got = [(box.x0, box.y0, box.x1, box.y1) for box in found]
    want = [*truth["holes"], truth["title_block"]]  # type: ignore[misc]
    for mine, right in zip(got, want, strict=True):
        assert mine == pytest.approx(right, abs=1e-3)


def test_order_is_row_then_column_whatever_the_scores() -> None:
    heat, geometry = torch.full((2, 112, 160), -9.0), torch.zeros(4, 112, 160)
    for row, column, score in ((30, 5, 4.0), (10, 90, 1.0), (10, 40, 2.0)):
        heat[0, row, column] = score
    found = boxes.decode(heat, geometry)
    assert [(box.y0, box.x0) for box in found] == sorted((box.y0, box.x0) for box in found)
    assert [round(box.score, 3) for box in found] == [0.881, 0.731, 0.982]


def test_shifted_labels_shift_the_targets() -> None:
    heat, _, _ = targets(label((40.0, 40.0, 56.0, 56.0)), (8, -4), 112, 160)
    assert (heat[0] == 1).nonzero().tolist() == [[11, 14]]


def test_of_boxes_on_top_of_each_other_the_better_stays_and_there_is_one_title_block() -> None:
    heat, geometry = torch.full((2, 112, 160), -9.0), torch.zeros(4, 112, 160)
    geometry[2:] = 1.5
    heat[0, 20, 20], heat[0, 20, 22] = 2.0, 3.0
    heat[1, 50, 50], heat[1, 90, 90] = 3.0, 2.0
    hole, block = boxes.decode(heat, geometry)
    assert hole.score == pytest.approx(torch.tensor(3.0).sigmoid().item())
    assert (block.label, block.y0 < 200) == ("title_block", True)


def test_nothing_found_is_an_empty_list() -> None:
    assert boxes.decode(torch.full((2, 112, 160), -9.0), torch.zeros(4, 112, 160)) == []


def test_iou() -> None:
    a, b, c = (boxes.Box("hole", 1.0, x, 0.0, x + 2.0, 2.0) for x in (0.0, 1.0, 5.0))
    assert boxes.iou(a, a) == 1.0
    assert boxes.iou(a, b) == pytest.approx(1 / 3)
    assert boxes.iou(a, c) == 0.0
