"""The first stage that differs, and the words for how it does."""

import bz2
import hashlib
import re

import numpy as np
import pytest

from goldmar.compare.first_difference import explain
from goldmar.records import Part, Stage, Staged

NAMES = ("decode", "preprocess", "inference", "postprocess")
OUTPUT = np.linspace(-3, 3, 100, dtype=np.float32)


def part(value, *, name: str = "", data: bool = True, step: int = 1) -> Part:
    if isinstance(value, str):
        content, dtype, shape = value.encode(), "text", (len(value.encode()),)
        sample = content
    else:
        array = np.asarray(value)
        content, dtype, shape = array.tobytes(), array.dtype.str, array.shape
        sample = array.ravel()[::step].tobytes()
    summary = {} if isinstance(value, str) else {"mean": float(np.mean(value)), "max": float(np.max(value))}
    digest = hashlib.sha256(f"{dtype}{shape}".encode() + content).hexdigest()
    return Part(name, dtype, shape, digest, summary, bz2.compress(sample) if data else None, step)


def staged(**changed) -> Staged:
    """A drawing with all four stages; a value of None leaves one out, a tuple is its parts."""
    values = {
        "decode": np.arange(1000, dtype=np.uint8).reshape(20, 50),
        "preprocess": np.zeros((1, 20, 50), np.float32),
        "inference": OUTPUT,
        "postprocess": '{"thickness": 9.0}',
        **changed,
    }
    problem = values.pop("problem", None)
    stages = tuple(
        Stage(name, value if isinstance(value, tuple) else (part(value),))
        for name, value in values.items()
        if value is not None
    )
    return Staged("WA-1", stages, problem)


def moved(value, *places: int, by: float):
    array = np.array(value)
    array.reshape(-1)[list(places)] += by
    return array


def said(kept: Staged, got: Staged) -> tuple[str, str]:
    one = explain(kept, got)
    assert one.drawing_id == "WA-1"
    return one.stage, one.detail


def test_the_words_of_a_tensor_that_moved():
    got = staged(preprocess=moved(np.zeros((1, 20, 50), np.float32), *range(31), by=0.004), inference=OUTPUT + 1)
    assert said(staged(), got) == (
        "preprocess",
        "tensor differs in 3.1 % of elements, largest 0.004, after equal decode",
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_first_of_those_that_differ_is_named(name):
    later = NAMES[NAMES.index(name) :]
    got = staged(
        **{stage: "another" if stage == "postprocess" else moved(part_value(stage), 5, by=1) for stage in later}
    )
    stage, detail = said(staged(), got)
    assert stage == name
    before = NAMES[: NAMES.index(name)]
    assert detail.endswith(
        [
            "of elements, largest 1",
            "after equal decode",
            "after equal decode and preprocess",
            "after equal decode, preprocess and inference",
        ][len(before)]
    )


def part_value(stage: str):
    return {
        "decode": np.arange(1000, dtype=np.uint8).reshape(20, 50),
        "preprocess": np.zeros((1, 20, 50), np.float32),
        "inference": OUTPUT,
    }[stage]


def test_equal_stages_are_said_to_be():
    stage, detail = said(staged(), staged())
    assert (stage, detail[:38]) == ("", "all stages equal, the answer differs: ")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (np.zeros((1, 10, 50), np.float32), "tensor has shape 1x10x50, and had 1x20x50"),
        (np.zeros((1, 20, 50), np.float64), "tensor is float64, and was float32"),
        (np.zeros((1000,), np.float32), "tensor has shape 1000, and had 1x20x50"),
        (np.float32(0), "tensor has shape that of a single number, and had 1x20x50"),
        ("gone", "tensor is a text, and was float32"),
        (
            np.full((1, 20, 50), np.nan, np.float32),
            "tensor differs in 100 % of elements, largest 0, NaN or infinite where",
        ),
        (moved(np.zeros((1, 20, 50), np.float32), 3, by=np.inf), "tensor differs in 0.1 % of elements, largest 0, NaN"),
        (moved(np.zeros((1, 20, 50), np.float32), 3, by=2), "tensor differs in 0.1 % of elements, largest 2"),
    ],
)
def test_shape_type_and_what_is_no_number(changed, words):
    stage, detail = said(staged(), staged(preprocess=changed))
    assert (stage, detail[: len(words)]) == ("preprocess", words)


def test_one_of_many_elements_is_never_none_of_them():
    kept, got = np.zeros(10**6, np.uint8), moved(np.zeros(10**6, np.uint8), 7, by=1)
    assert said(staged(decode=kept), staged(decode=got))[1].startswith("tensor differs in 0.0001 % of elements")
    nearly = np.ones(10**6, np.uint8)
    nearly[0] = 0
    assert said(staged(decode=kept), staged(decode=nearly))[1].startswith("tensor differs in 99.9 % of elements")


def test_subtraction_does_not_wrap():
    kept, got = np.full(4, 250, np.uint8), np.full(4, 5, np.uint8)
    assert "largest 245" in said(staged(decode=kept), staged(decode=got))[1]


def test_single_numbers_are_said_themselves():
    kept = (part(np.float64(0.5), name="mm_per_px"), part("mm", name="unit"))
    got = (part(np.float64(0.75), name="mm_per_px"), part("inch", name="unit"))
    assert said(staged(decode=kept), staged(decode=got))[1] == "mm_per_px is 0.75, and was 0.5; unit differs"


def test_zeros_of_another_sign_are_no_difference():
    got = staged(preprocess=-np.zeros((1, 20, 50), np.float32), postprocess="another")
    assert said(staged(), got)[0] == "postprocess"


def test_nan_where_it_was_is_no_difference():
    quiet = np.array([np.nan, 1.0], np.float32)
    other = quiet.copy()
    other.view(np.uint32)[0] ^= 1
    assert part(quiet).sha256 != part(other).sha256
    assert said(staged(preprocess=quiet), staged(preprocess=other, postprocess="another"))[0] == "postprocess"


# --- the last digits of a network


def test_last_digits_of_inference_do_not_hide_what_comes_after():
    got = staged(inference=OUTPUT * np.float32(1 + 1e-6), postprocess="another")
    stage, detail = said(staged(), got)
    assert stage == "postprocess"
    words = r"answer differs, after equal decode and preprocess \(inference: tensor differs in its last digits .+\)"
    assert re.fullmatch(words, detail), detail


def test_last_digits_are_named_where_there_is_nothing_else():
    stage, detail = said(staged(), staged(inference=OUTPUT * np.float32(1 + 1e-6)))
    assert stage == "inference"
    assert "last digits alone, largest" in detail


def test_more_than_last_digits_is_a_difference():
    stage, detail = said(staged(), staged(inference=OUTPUT * np.float32(1.001), postprocess="another"))
    assert stage == "inference"
    assert "last digits" not in detail


def test_before_inference_every_bit_counts():
    """There is no batch in which it could have come out otherwise."""
    scale = np.full((1, 20, 50), 3, np.float32)
    got = staged(preprocess=np.nextafter(scale, 4), inference=OUTPUT + 1)
    assert said(staged(preprocess=scale), got)[0] == "preprocess"


def test_an_integer_output_has_no_last_digits():
    got = staged(inference=np.arange(10**6, 10**6 + 5) + 1, postprocess="another")
    assert said(staged(inference=np.arange(10**6, 10**6 + 5)), got)[0] == "inference"


# --- parts and data that are not there


def test_parts_that_come_and_go():
    kept = (part(OUTPUT, name="heat"), part(OUTPUT, name="boxes"))
    assert said(staged(inference=kept), staged(inference=kept[:1]))[1].startswith("it has heat, and had heat, boxes")
    assert said(staged(inference=(part(OUTPUT),)), staged(inference=()))[1].startswith(
        "it has no part, and had one part"
    )


def test_a_stage_that_is_missing_was_refused():
    got = Staged("WA-1", staged().stages[:1], "the model refuses it (status 400): too dark.")
    assert said(staged(), got) == ("preprocess", "the model refuses it (status 400): too dark., after equal decode")


def test_without_data_the_summaries_are_held_together():
    kept = staged(preprocess=(part(np.zeros(4), data=False),))
    got = staged(preprocess=np.ones(4))
    assert said(kept, got)[1] == "tensor differs; mean 1, was 0, max 1, was 0, after equal decode"


def test_broken_data_is_no_data():
    kept = part(np.zeros(4))
    broken = Part(kept.name, kept.dtype, kept.shape, kept.sha256, kept.summary, b"no bz2")
    assert said(staged(preprocess=(broken,)), staged(preprocess=np.ones(4)))[1].startswith("tensor differs; mean 1")


def test_a_sample_is_held_against_the_same_elements():
    kept = staged(inference=(part(np.arange(1000.0), step=10),))
    got = np.arange(1000.0)
    got[::10] += 5
    got[1::10] += 9
    assert said(kept, staged(inference=got))[1].startswith(
        "tensor differs in 100 % of elements of the 100 kept as a sample, largest 5"
    )
    got = np.arange(1000.0)
    got[1] += 9
    assert said(kept, staged(inference=got))[1].startswith("tensor differs, in none of the 100 elements kept")


def test_the_file_itself():
    kept = (Part("", "file", (10,), "a" * 64),)
    got = (Part("", "file", (10,), "b" * 64),)
    stages = staged().stages
    one = explain(Staged("WA-1", (Stage("drawing", kept), *stages)), Staged("WA-1", (Stage("drawing", got), *stages)))
    assert (one.stage, one.detail) == ("drawing", "the file itself is not the one that was recorded")
