"""Writes model.npz: fitted to made-up parts, the same every time. Replace it with your training.

It lies in a folder of its own because every .py beside handler.py goes into the archive.
"""

from pathlib import Path

import numpy as np

HANDLER = Path(__file__).resolve().parents[1]
COLUMNS = ("diameter_mm", "length_mm", "holes")

if __name__ == "__main__":
    random = np.random.default_rng(0)
    parts = random.uniform((10, 20, 0), (120, 400, 12), size=(200, 3))  # [parts, columns]
    minutes = parts @ (0.06, 0.02, 1.5) + 4 + random.normal(0, 0.5, size=200)
    fitted, *_ = np.linalg.lstsq(np.column_stack([parts, np.ones(200)]), minutes, rcond=None)
    np.savez(HANDLER / "model.npz", columns=COLUMNS, coefficients=fitted[:-1], intercept=fitted[-1])
