"""One drawing and its answer over pipes, without a process at the other end: what of an answer is believed."""

import math
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass

import decoder_process as wire
import numpy as np
import pytest
from drawing import BadDrawing, Sheet
from readers import DAMAGED, DIED, MAD, MEMORY, DecoderFault, Job, Lost, Reader, clean

LONG = b"x" * (3 * wire.CHUNK)  # more than a pipe takes


@dataclass
class Ends:
    """A reader as the worker has it, and the two ends that its process would have."""

    reader: Reader
    drawings: int
    answers: int

    def outcome(self, said: bytes, data: bytes = b"drawing") -> object:
        job = Job(0, self.reader, data, 5.0, math.inf)
        os.write(self.answers, said)
        return job.advance()


@pytest.fixture
def ends() -> Iterator[Ends]:
    (drawings, to), (back, answers) = os.pipe(), os.pipe()
    for descriptor in (to, back):
        os.set_blocking(descriptor, False)
    ends = Ends(Reader(1, 0, to, back), drawings, answers)
    yield ends
    ends.reader.close()
    os.close(ends.drawings)
    os.close(ends.answers)


def head(kind: bytes, rows: int, columns: int, mm_per_px: float, source_px_per_px: float, length: int) -> bytes:
    return wire.HEADER.pack(kind, rows, columns, mm_per_px, source_px_per_px, length)


def test_a_sheet_comes_through(ends: Ends) -> None:
    sheet = ends.outcome(head(b"S", 2, 3, 0.5, 8.0, 6) + b"abcdef")
    assert isinstance(sheet, Sheet)
    assert np.array_equal(sheet.pixels, [[97, 98, 99], [100, 101, 102]])
    assert (sheet.mm_per_px, sheet.source_px_per_px) == (0.5, 8.0)


@pytest.mark.parametrize(
    "fields",
    [
        (0, 5, 0.5, 8.0, 0),
        (5, 0, 0.5, 8.0, 0),
        (449, 1, 0.5, 8.0, 449),
        (1, 641, 0.5, 8.0, 641),
        (2, 3, 0.5, 8.0, 5),
        (2, 3, 0.5, 8.0, 7),
        *((1, 1, scale, 8.0, 1) for scale in (math.inf, math.nan, 0.0, -1.0)),
        *((1, 1, 0.5, scale, 1) for scale in (math.inf, math.nan, 0.0, -1.0)),
    ],
)
def test_a_sheet_that_cannot_be_is_none(ends: Ends, fields: tuple[int, int, float, float, int]) -> None:
    assert ends.outcome(head(b"S", *fields) + b"!" * fields[-1]) == Lost(MAD, used=False)


def test_no_answer_is_longer_than_its_head_says(ends: Ends) -> None:
    assert ends.outcome(head(b"S", 1, 1, 0.5, 8.0, 1) + b"!!") == Lost(MAD, used=False)


def test_no_answer_comes_before_the_drawing_was_taken(ends: Ends) -> None:
    assert ends.outcome(head(b"S", 1, 1, 0.5, 8.0, 1) + b"!", LONG) == Lost(MAD, used=False)


def test_a_reader_that_takes_no_drawing_is_heard(ends: Ends) -> None:
    assert ends.outcome(b"\0" * 40, LONG) == Lost(MAD, used=False)


@pytest.mark.parametrize("kind", [b"X", b"\0", b"s"])
def test_a_kind_that_is_none_is_not_believed(ends: Ends, kind: bytes) -> None:
    assert ends.outcome(head(kind, 0, 0, 0.0, 0.0, 1) + b"!") == Lost(MAD, used=False)


def test_a_text_has_a_limit(ends: Ends) -> None:
    refused = ends.outcome(head(b"R", 0, 0, 0.0, 0.0, wire.MAX_TEXT) + b"!" * wire.MAX_TEXT)
    assert isinstance(refused, BadDrawing)
    assert len(str(refused)) == wire.MAX_TEXT
    # Known from the head alone: nothing more is waited for.
    assert ends.outcome(head(b"R", 0, 0, 0.0, 0.0, wire.MAX_TEXT + 1)) == Lost(MAD, used=True)


def test_what_is_refused_has_a_sentence_on_one_line(ends: Ends) -> None:
    assert str(ends.outcome(head(b"R", 0, 0, 0.0, 0.0, 7) + b"too\n\x1b s")) == "too s"
    assert str(ends.outcome(head(b"R", 0, 0, 0.0, 0.0, 2) + b" \0")) == DAMAGED


def test_memory_and_a_fault_are_told_apart(ends: Ends) -> None:
    assert ends.outcome(head(b"M", 0, 0, 0.0, 0.0, 0)) == Lost(MEMORY, used=False)
    assert isinstance(ends.outcome(head(b"F", 0, 0, 0.0, 0.0, 1) + b"!"), DecoderFault)


def test_a_reader_that_died_just_now_is_found_out_later(ends: Ends) -> None:
    gone, ends.drawings = ends.drawings, os.dup(0)
    os.close(gone)
    job = Job(0, ends.reader, b"drawing", 5.0, math.inf)
    assert job.advance() == Lost(DIED, used=False)


def test_room_in_the_pipe_is_waited_for_only_while_there_is_something_to_send(ends: Ends) -> None:
    assert Job(0, ends.reader, b"drawing", 5.0, math.inf).events == [(ends.reader.back, select.POLLIN)]
    os.read(ends.drawings, 100)
    assert (ends.reader.to, select.POLLOUT) in Job(0, ends.reader, LONG, 5.0, math.inf).events


def test_text_for_a_log_has_nothing_that_steers_a_terminal() -> None:
    text = "a\x1b[31mb\x00\r\nc\u202ed ".encode() + b"\xff"
    assert clean(text) == "a [31mb \nc d \ufffd"
