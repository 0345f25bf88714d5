"""Sets of reduced sheets with labels, made from seeds and kept in a cache.

A set is two files: sheets.npy, uint8 [N, 448, 640], 255 paper; labels.jsonl, one object a sheet. Its folder is named
after the seeds and a digest of the code and the packages that make it, so that old sheets are never taken for new ones.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .drawings import generate
from .formats import DPI
from .handlers import HANDLERS, read_sheet
from .specs import sample_spec

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
HEIGHT, WIDTH = 448, 640
NOMINAL_MM_PER_PX = 25.4 / 37.5

TRAIN_SEEDS = range(2600)
HELD_OUT = 1_000_000  # the first seed of the held-out drawings
HELD_OUT_COUNT = 200

_SOURCES = [HERE / f"{name}.py" for name in ("specs", "strokes", "dxf", "families", "render", "formats", "drawings")]
_SOURCES += [*sorted((HANDLERS / "common").glob("*.py")), Path(__file__)]
# what draws the sheets, writes the files and reads them
_PACKAGES = ("ezdxf", "hershey-fonts", "imagecodecs", "numpy", "opencv-python-headless", "pillow", "pypdfium2")
_PACKAGES += ("pyvips-binary", "reportlab")


@dataclass(frozen=True)
class DrawingSet:
    """sheets: uint8 [N, 448, 640]. labels: N dicts with seed, kind, family, thickness in mm or None, mm_per_px,
    size (height, width), and boxes in pixels of the sheet: holes, title_block, edges."""

    sheets: NDArray[np.uint8]
    labels: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, keep: Iterable[int]) -> "DrawingSet":
        chosen = list(keep)
        return DrawingSet(self.sheets[chosen], [self.labels[i] for i in chosen])


def reduced(data: bytes) -> tuple[NDArray[np.uint8], tuple[int, int], float]:
    """A file as the handlers see it, on the whole canvas: uint8 [448, 640], the sheet's own height and width, and the
    mm that a pixel covers."""
    sheet = read_sheet(data)
    canvas = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    height, width = sheet.pixels.shape
    canvas[:height, :width] = sheet.pixels
    return canvas, (height, width), float(sheet.mm_per_px)


def _example(seed: int) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    drawing = generate(seed)
    canvas, size, mm_per_px = reduced(drawing.data)
    scale = 25.4 / DPI / mm_per_px  # page pixels at 300 dpi -> pixels of the sheet
    truth = drawing.labels
    return canvas, {
        "seed": seed,
        "kind": drawing.kind,
        "family": truth.family,
        "thickness": truth.thickness,
        "size": size,
        "mm_per_px": mm_per_px,
        "holes": [[v * scale for v in box] for box in truth.holes],
        "title_block": [v * scale for v in truth.title_block],
        "edges": [[v * scale for v in box] for box in truth.edges],
    }


def _digest(seeds: list[int]) -> str:
    digest = hashlib.sha256(json.dumps([seeds, [version(package) for package in _PACKAGES]]).encode())
    for path in _SOURCES:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
    os.nice(5)


def drawing_set(seeds: Iterable[int], processes: int = 2) -> DrawingSet:
    """The drawings of `seeds`, from the cache or made now (about 15 a second on two cores)."""
    seeds = list(seeds)
    folder = CACHE / f"{seeds[0]}-{len(seeds)}-{_digest(seeds)}"
    if not folder.exists():
        _make(seeds, folder, processes)
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    return DrawingSet(np.load(folder / "sheets.npy", mmap_mode="r"), labels)


def _make(seeds: list[int], folder: Path, processes: int) -> None:
    """Write beside the place and move the whole folder there: two runs that make the same set do not mix."""
    CACHE.mkdir(exist_ok=True)
    shape = (len(seeds), HEIGHT, WIDTH)
    with TemporaryDirectory(dir=CACHE) as temporary:
        unfinished = Path(temporary) / "set"
        unfinished.mkdir()
        sheets = np.lib.format.open_memmap(unfinished / "sheets.npy", mode="w+", dtype=np.uint8, shape=shape)
        lines = []
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for i, (canvas, label) in enumerate(pool.map(_example, seeds, chunksize=8)):
                sheets[i] = canvas
                lines.append(json.dumps(label) + "\n")
        sheets.flush()
        (unfinished / "labels.jsonl").write_text("".join(lines))
        if not folder.exists():
            unfinished.rename(folder)


def held_out() -> DrawingSet:
    """200 drawings that no model was trained on."""
    return drawing_set(range(HELD_OUT, HELD_OUT + HELD_OUT_COUNT))


def held_out_with_thickness() -> DrawingSet:
    """200 held-out drawings of parts that have a thickness: all families but the shaft."""
    seeds = (seed for seed in count(HELD_OUT) if sample_spec(seed).part.thickness is not None)
    return drawing_set(islice(seeds, HELD_OUT_COUNT))
