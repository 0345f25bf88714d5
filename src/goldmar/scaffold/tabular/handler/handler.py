"""The handler that TorchServe calls: one class, which turns requests into answers."""

from pathlib import Path
from typing import Any

import numpy as np
from items import ItemHandler, text_of
from table import read_table


class Handler(ItemHandler):
    """A CSV with a header -> {"minutes": [...]}: a number for each row. Linear; replace it with your model."""

    def load(self, folder: Path, model: dict[str, str]) -> None:
        with np.load(folder / model["serializedFile"], allow_pickle=False) as stored:
            self.columns = tuple(stored["columns"].tolist())
            self.coefficients = stored["coefficients"]  # float64 [columns]
            self.intercept = float(stored["intercept"])

    def answer(self, body: Any) -> dict[str, Any]:
        table = read_table(text_of(body), self.columns)
        return {"minutes": (table @ self.coefficients + self.intercept).tolist()}
