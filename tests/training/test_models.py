"""The committed weights: plain, small, and as good as their cards say. The training code: seeded."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training import (
    dataset,
    evaluate_callouts,
    evaluate_part_class,
    evaluate_thickness,
    train_callouts,
    train_part_class,
    train_thickness,
)
from training.dataset import HELD_OUT, TRAIN_SEEDS, DrawingSet, _example
from training.fit import LARGEST_SHIFT, Recipe, augmented, canvas_of, to_ink
from training.handlers import load, new_model, save_weights, trained_model, weights_path
from training.make_golden_drawings import FIRST_SEED, KINDS, MODELS

NAMES = ("callouts", "part_class", "thickness")


@pytest.fixture(scope="module")
def examples() -> DrawingSet:
    """32 held-out drawings, made here rather than read from the cache."""
    made = [_example(seed) for seed in range(HELD_OUT, HELD_OUT + 32)]
    return DrawingSet(np.stack([sheet for sheet, _ in made]), [label for _, label in made])


def with_thickness(examples: DrawingSet) -> DrawingSet:
    return examples.only(i for i, label in enumerate(examples.labels) if label["thickness"] is not None)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_a_small_plain_state_dict(name: str) -> None:
    path = weights_path(name)
    state = torch.load(path, weights_only=True)
    assert path.stat().st_size < 2_000_000
    assert type(state) in (dict, torch.nn.modules.module.OrderedDict)
    assert all(isinstance(value, torch.Tensor) and value.isfinite().all() for value in state.values())
    trained_model(name)


def test_thickness_is_as_good_as_its_card_says(examples: DrawingSet) -> None:
    result = evaluate_thickness.evaluate_from_data(trained_model("thickness"), with_thickness(examples))
    assert result.drawings > 20
    assert result.mean <= 0.2
    assert result.worst <= 1.5  # one whose edge view is taken for another line, or the rim of the sheet for it


def test_part_class_is_as_good_as_its_card_says(examples: DrawingSet) -> None:
    result = evaluate_part_class.evaluate_from_data(trained_model("part_class"), examples)
    assert result.accuracy >= 0.95


def test_callouts_is_as_good_as_its_card_says(examples: DrawingSet) -> None:
    result = evaluate_callouts.evaluate_from_data(trained_model("callouts"), examples)
    assert result.total.f1 >= 0.9
    assert result.by_label["title_block"].f1 >= 0.9


@pytest.mark.parametrize("module", [train_callouts, train_part_class, train_thickness])
def test_training_repeats_itself_byte_for_byte(module: Any, examples: DrawingSet, tmp_path: Path) -> None:
    """On a machine with another number of cores as well."""
    plates = with_thickness(examples)
    alike = [i for i, label in enumerate(plates.labels) if label["size"] == (310, 438)]
    recipe = Recipe(epochs=1, seed=3)
    some, lines = plates.only(alike[: recipe.batch]), list[str]()
    threads = torch.get_num_threads()
    weights = []
    try:
        for cores in (1, 2):
            torch.set_num_threads(cores)
            save_weights(module.train_from_data(some, recipe, lines.append), tmp_path / "weights.pt")
            weights.append((tmp_path / "weights.pt").read_bytes())
            assert torch.get_num_threads() == cores
    finally:
        torch.set_num_threads(threads)
    assert weights[0] == weights[1]
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert losses
    assert all(np.isfinite(losses))


def test_sheets_drawn_with_other_packages_are_not_taken_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dataset._digest([1, 2])
    assert dataset._digest([1, 2]) == before != dataset._digest([1, 3])
    monkeypatch.setattr(dataset, "version", lambda package: "0.1" if package == "pypdfium2" else version(package))
    assert dataset._digest([1, 2]) != before


def test_too_few_drawings_are_refused(examples: DrawingSet) -> None:
    with pytest.raises(ValueError, match="at least 16 drawings on paper of one size"):
        train_part_class.train_from_data(examples.only(range(3)))


def test_augmented_sheets_move_as_reported() -> None:
    sheets = np.full((6, 448, 640), 255, dtype=np.uint8)
    sheets[:, 100:104, 200:204] = 0
    ink, shifts = augmented(sheets, np.random.default_rng(0))
    assert len(set(shifts)) > 1
    for item, (dx, dy) in zip(ink, shifts, strict=True):
        rows, columns = (item[0] > 0.5).nonzero(as_tuple=True)
        assert (int(rows.min()), int(columns.min())) == (100 + dy, 200 + dx)


def test_the_canvas_of_a_batch_holds_every_moved_sheet() -> None:
    assert canvas_of([{"size": (310, 438)}]) == (320, 448)
    assert canvas_of([{"size": (310, 438)}, {"size": (438, 620)}]) == (448, 640)
    height, width = canvas_of([{"size": (311, 439)}])
    assert height >= 311 + LARGEST_SHIFT
    assert width >= 439 + LARGEST_SHIFT


def test_ink_is_that_of_the_handlers() -> None:
    sheet = np.random.default_rng(0).integers(0, 256, (448, 640), dtype=np.uint8)
    kind = load("common", "drawing").Sheet
    theirs = load("common", "tensor").sheet_tensor(kind(sheet, 0.6773, 8.0))
    torch.testing.assert_close(to_ink(sheet[None])[0], theirs)


def test_matching_counts_found_missed_and_false() -> None:
    box = load("callouts", "boxes").Box
    truth = [box("hole", 1.0, x, 0.0, x + 10.0, 10.0) for x in (0.0, 50.0)]
    found = [
        box("hole", 0.9, 1.0, 0.0, 11.0, 10.0),
        box("hole", 0.8, 0.0, 0.0, 10.0, 10.0),
        box("hole", 0.7, 57.0, 0.0, 67.0, 10.0),
    ]
    count = evaluate_callouts.match(found, truth)
    assert (count.hits, count.missed, count.false) == (1, 1, 2)
    assert count.f1 == pytest.approx(2 / 5)


def test_weights_survive_a_round_trip(tmp_path: Path) -> None:
    model = new_model("part_class")
    save_weights(model, tmp_path / "weights.pt")
    again = trained_model("part_class", tmp_path / "weights.pt").state_dict()
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


def test_goldens_and_held_out_drawings_were_never_trained_on() -> None:
    assert HELD_OUT not in TRAIN_SEEDS
    assert TRAIN_SEEDS.stop <= HELD_OUT < HELD_OUT + 1000 < FIRST_SEED
    assert len(KINDS) >= 24
    assert set(MODELS) == set(NAMES)
