"""The handler that TorchServe calls: one class, which turns requests into answers."""

import json
import math
from pathlib import Path
from typing import Any

from items import ItemHandler, text_of
from words import words


class Handler(ItemHandler):
    """A text -> {"label": ..., "scores": {label: ...}}. It adds up what each word says; replace it with your model."""

    def load(self, folder: Path, model: dict[str, str]) -> None:
        stored = json.loads((folder / model["serializedFile"]).read_text(encoding="utf-8"))
        self.labels: list[str] = stored["labels"]
        self.weights: dict[str, list[float]] = stored["words"]  # word -> what it says for each label

    def answer(self, body: Any) -> dict[str, Any]:
        known = [self.weights[word] for word in words(text_of(body)) if word in self.weights]
        sums = [math.fsum(column) for column in zip(*known, strict=True)] or [0.0] * len(self.labels)
        powers = [math.exp(each - max(sums)) for each in sums]
        scores = {label: power / math.fsum(powers) for label, power in zip(self.labels, powers, strict=True)}
        return {"label": max(scores, key=scores.__getitem__), "scores": scores}
