"""Damaged drawings through a handler: each is answered or refused, none harms the worker.

Two thousand others go through a whole TorchServe in tests/e2e/test_bad_drawings.py.
"""

import collections

import pytest

from .bad_drawings import GOOD, mutations
from .service import Worker, parameter


def test_damaged_drawings_are_answered_or_refused(thickness: Worker) -> None:
    counts: collections.Counter[int] = collections.Counter()
    requests = list(mutations(400, seed=21))
    for start in range(0, len(requests), 8):
        batch = requests[start : start + 8]
        replies = thickness.predict([[parameter(*request)] for request in batch])
        for (data, _), reply in zip(batch, replies, strict=True):
            counts[reply.status] += 1
            assert reply.status in (200, 400), (reply, data[:100].hex())
            assert set(reply.json) == ({"thickness"} if reply.status == 200 else {"code", "type", "message"})
    # Both outcomes have to turn up, or the mutations are too mild or too harsh to show anything.
    assert counts[200] > 40
    assert counts[400] > 100


def test_mutations_are_the_same_for_the_same_seed() -> None:
    assert list(mutations(50, seed=3)) == list(mutations(50, seed=3))
    assert list(mutations(50, seed=3)) != list(mutations(50, seed=4))


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff group 4", "pdf scan"])
def test_a_file_cut_anywhere_is_answered_or_refused(thickness: Worker, name: str) -> None:
    data, content_type = GOOD[name]
    for share in range(1, 100, 3):
        reply = thickness.ask(data[: len(data) * share // 100], content_type)
        assert reply.status in (200, 400)
