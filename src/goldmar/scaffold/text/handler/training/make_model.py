"""Writes model.json: how often each word stands in a few texts of each label. Replace it with your training.

It lies in a folder of its own because every .py beside handler.py goes into the archive.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path

HANDLER = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HANDLER))

from words import words  # noqa: E402  what the archive holds is found by bare name, as in the worker

TEXTS = {
    "turned": ("shaft, turned and ground between centres", "bush turned from bar", "pin, hardened, ground to h6"),
    "milled": ("bracket milled from solid", "plate, faces milled flat", "housing, bores and pockets milled"),
    "sheet": ("cover, sheet 1.5 thick, bent", "plate, laser cut from sheet", "box bent and welded from sheet"),
}

if __name__ == "__main__":
    counts = {label: Counter(words(" ".join(texts))) for label, texts in TEXTS.items()}
    vocabulary = sorted(set().union(*counts.values()))
    size = {label: math.log(count.total() + len(vocabulary)) for label, count in counts.items()}
    said = {
        word: [round(math.log(count[word] + 1) - size[label], 6) for label, count in counts.items()]
        for word in vocabulary
    }
    model = {"labels": list(TEXTS), "words": said}
    (HANDLER / "model.json").write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
