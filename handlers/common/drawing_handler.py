"""What every handler of drawings does the same way: load, batch, refuse single items, answer in JSON.

A model's handler subclasses DrawingHandler and says how bytes become a sheet, sheets a tensor, and the model's
output answers. Everything that TorchServe needs to be told is told here.
"""

import importlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from drawing import CANVAS_HEIGHT, CANVAS_WIDTH, BadDrawing, Sheet
from payload import BadRequest, drawing_bytes
from stages import Stages
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import list_classes_from_module

logger = logging.getLogger(__name__)

Answer = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """A batch on its way from requests to answers.

    items: for each request its sheet, or why it was refused.
    sheets: the sheets among them, in order.
    output: what the model said about `sheets`; None before inference, or when there are none.
    """

    items: tuple[Sheet | BadDrawing | BadRequest, ...]
    sheets: tuple[Sheet, ...]
    output: Any = None


class DrawingHandler(Stages, BaseHandler):
    """Subclass with `read`, `batch` and `answers`; TorchServe calls `initialize` once and `handle` for each batch."""

    def read(self, data: bytes) -> Sheet:
        """The drawing in one request. Raises BadDrawing with a sentence for the sender."""
        raise NotImplementedError

    def batch(self, sheets: Sequence[Sheet]) -> torch.Tensor:
        """What the model takes for B sheets."""
        raise NotImplementedError

    def answers(self, output: Any, sheets: Sequence[Sheet]) -> list[Answer]:
        """The model's output for B sheets as B objects of plain dicts, lists, strings and numbers."""
        raise NotImplementedError

    # --- called by TorchServe

    def initialize(self, context: Any) -> None:
        """Load model.py and weights.pt onto the worker's device and answer a blank sheet once.

        The blank sheet makes weights that do not fit fail here, where TorchServe reports it, and saves the first
        drawing the cost of a first call.
        """
        threads = (context.model_yaml_config or {}).get("handler", {}).get("threads")
        if threads:
            torch.set_num_threads(threads)
        super().initialize(context)
        with torch.inference_mode():
            self.model(torch.zeros(1, 1, CANVAS_HEIGHT, CANVAS_WIDTH, device=self.device))

    def preprocess(self, data: Sequence[dict[str, Any]]) -> Batch:
        items = tuple(self._read_or_refuse(index, item) for index, item in enumerate(data))
        return Batch(items, tuple(item for item in items if isinstance(item, Sheet)))

    def inference(self, data: Batch, *args: Any, **kwargs: Any) -> Batch:
        if not data.sheets:
            return data
        places = [index for index, item in enumerate(data.items) if isinstance(item, Sheet)]
        batch = self.batch(data.sheets)
        self.keep_rows(places, "preprocess", batch)
        with torch.inference_mode():
            output = self.model(batch.to(self.device))
        self.keep_rows(places, "inference", output)
        return replace(data, output=output)

    def postprocess(self, data: Batch) -> list[str]:
        answers = iter(self.answers(data.output, data.sheets) if data.sheets else ())
        return [
            self._answer(index, next(answers)) if isinstance(item, Sheet) else self._refuse(index, 400, item)
            for index, item in enumerate(data.items)
        ]

    # --- one item

    def _read_or_refuse(self, index: int, item: dict[str, Any]) -> Sheet | BadDrawing | BadRequest:
        try:
            sheet = self.read(drawing_bytes(item))
        except (BadDrawing, BadRequest) as refusal:
            return refusal
        self.keep(index, "decode", sheet)
        return sheet

    def _answer(self, index: int, answer: Answer) -> str:
        try:
            text = json.dumps(answer, allow_nan=False)
        except ValueError:
            # Left to TorchServe, it would go out as the word NaN, which is no JSON.
            message = "the model's answer to this drawing is not a finite number."
            return self._refuse(index, 500, ArithmeticError(message))
        self.context.set_response_content_type(index, "application/json")
        return text

    def _refuse(self, index: int, code: int, error: Exception) -> str:
        """An error for this item alone, in the shape of TorchServe's own errors."""
        logger.info("%s: %s", type(error).__name__, error)
        self.context.set_response_status(code=code, phrase="", idx=index)
        self.context.set_response_content_type(index, "application/json")
        return json.dumps({"code": code, "type": type(error).__name__, "message": str(error)})

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str) -> torch.nn.Module:
        """As in BaseHandler, but weights may never bring code with them."""
        module = importlib.import_module(Path(model_file).stem)
        classes = list_classes_from_module(module)
        if len(classes) != 1:
            msg = f"{model_file} defines {len(classes)} classes; it must define the model and nothing else"
            raise ValueError(msg)
        model: torch.nn.Module = classes[0]()
        model.load_state_dict(torch.load(model_pt_path, map_location=self.device, weights_only=True))
        return model
