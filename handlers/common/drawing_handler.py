"""What every handler of drawings does the same way: load, batch, refuse single items, answer in JSON.

A model brings model.py, preprocess.py with `read` (bytes -> Sheet) and `batch` (B sheets -> what the model takes), and
a handler.py that subclasses DrawingHandler and says what the model's output means. Everything that TorchServe needs to
be told is told here.
"""

import contextlib
import importlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import preprocess  # the model's own
import torch
from cpu import quicker
from decoder import Decoder, DecoderFault, Limits
from drawing import CANVAS_HEIGHT, CANVAS_WIDTH, BadDrawing, Sheet, read_elsewhere
from payload import BadRequest, drawing_bytes
from stages import Stages
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import list_classes_from_module

logger = logging.getLogger(__name__)

Answer = dict[str, Any]


class HandlerFault(Exception):
    """The code of the model failed on one drawing; str() is a sentence for its sender."""


Refusal = BadDrawing | BadRequest | DecoderFault | HandlerFault
ONE_BY_ONE = "The model failed on a batch; its drawings are tried one by one."
FAILED = "the code of this model failed on this drawing: the server's log says where."


@dataclass(frozen=True)
class Batch:
    """A batch on its way from requests to answers.

    items: for each request its sheet, or why there is none.
    sheets: the sheets among them, in order.
    output: what the model said about `sheets`; None before inference, when there are none, or when it failed.
    """

    items: tuple[Sheet | Refusal, ...]
    sheets: tuple[Sheet, ...]
    output: Any = None


class DrawingHandler(Stages, BaseHandler):
    """Subclass with `answers`; TorchServe calls `initialize` once and `handle` for each batch."""

    def read(self, data: bytes) -> Sheet:
        """The drawing in one request. Raises BadDrawing with a sentence for the sender."""
        return preprocess.read(data)

    def batch(self, sheets: Sequence[Sheet]) -> torch.Tensor:
        """What the model takes for B sheets."""
        return preprocess.batch(sheets)

    def answers(self, output: Any, sheets: Sequence[Sheet]) -> list[Answer]:
        """The model's output for B sheets as B objects of plain dicts, lists, strings and numbers."""
        raise NotImplementedError

    # --- called by TorchServe

    def initialize(self, context: Any) -> None:
        """Load model.py and weights.pt onto the worker's device and answer a blank sheet once.

        The blank sheet makes weights that do not fit fail here, where TorchServe reports it, and saves the first
        drawing the cost of a first call.
        """
        config = context.model_yaml_config or {}
        settings = config.get("handler") or {}
        self.decoder = _decoder(settings.get("decoder") or {}, config.get("responseTimeout"))
        if threads := settings.get("threads"):
            torch.set_num_threads(threads)
        super().initialize(context)
        if self.device.type == "cpu":
            self.model = quicker(self.model)
        with torch.inference_mode():
            self.model(torch.zeros(1, 1, CANVAS_HEIGHT, CANVAS_WIDTH, device=self.device))
        if self.decoder is not None:
            self.decoder.wait()
            read_elsewhere(self.decoder.read)

    def preprocess(self, data: Sequence[dict[str, Any]]) -> Batch:
        bodies = [self._body_or_refuse(item) for item in data]
        drawings = [body for body in bodies if isinstance(body, bytes)]
        with self.decoder.ahead(drawings) if self.decoder is not None else contextlib.nullcontext():
            items = tuple(self._read_or_refuse(index, body) for index, body in enumerate(bodies))
        return Batch(items, tuple(item for item in items if isinstance(item, Sheet)))

    def inference(self, data: Batch, *args: Any, **kwargs: Any) -> Batch:
        if not data.sheets:
            return data
        places = [index for index, item in enumerate(data.items) if isinstance(item, Sheet)]
        try:
            batch = self.batch(data.sheets)
            self.keep_rows(places, "preprocess", batch)
            with torch.inference_mode():
                output = self.model(batch.to(self.device))
        except Exception:
            if len(data.items) == 1:
                raise  # TorchServe answers 503, and nobody else is in the batch
            logger.exception(ONE_BY_ONE)
            return data
        self.keep_rows(places, "inference", output)
        return replace(data, output=output)

    def postprocess(self, data: Batch) -> list[str]:
        answers = iter(self._answers(data))
        return [
            self._refuse(index, outcome) if isinstance(outcome, Refusal) else self._answer(index, outcome)
            for index, outcome in enumerate(next(answers) if isinstance(item, Sheet) else item for item in data.items)
        ]

    def _answers(self, data: Batch) -> list[Answer | HandlerFault]:
        """The answers for `data.sheets`. A sheet that the code fails on spoils nobody else's."""
        if data.output is not None:
            try:
                answers = self.answers(data.output, data.sheets)
                if len(answers) == len(data.sheets):
                    return list(answers)
            except Exception:
                if len(data.items) == 1:
                    raise
                logger.exception(ONE_BY_ONE)
        return [self._answer_alone(sheet) for sheet in data.sheets]

    # --- one item

    def _body_or_refuse(self, item: dict[str, Any]) -> bytes | Refusal:
        try:
            return drawing_bytes(item)
        except BadRequest as refusal:
            return refusal
        except Exception:
            logger.exception("A request could not be taken apart.")
            return HandlerFault(FAILED)

    def _read_or_refuse(self, index: int, body: bytes | Refusal) -> Sheet | Refusal:
        if not isinstance(body, bytes):
            return body
        try:
            sheet = self.read(body)
        except (BadDrawing, DecoderFault) as refusal:
            return refusal
        except Exception:
            logger.exception("A drawing could not be read.")
            return HandlerFault(FAILED)
        self.keep(index, "decode", sheet)
        return sheet

    def _answer_alone(self, sheet: Sheet) -> Answer | HandlerFault:
        try:
            with torch.inference_mode():
                output = self.model(self.batch([sheet]).to(self.device))
            (answer,) = self.answers(output, [sheet])
            return answer
        except (MemoryError, torch.OutOfMemoryError):
            raise  # TorchServe has a status of its own for these
        except Exception:
            logger.exception("A drawing could not be answered.")
            return HandlerFault(FAILED)

    def _answer(self, index: int, answer: Answer) -> str:
        try:
            text = json.dumps(answer, allow_nan=False)
        except ValueError:
            # Left to TorchServe, it would go out as the word NaN, which is no JSON.
            return self._refuse(index, HandlerFault("the model's answer to this drawing is not a finite number."))
        self.context.set_response_content_type(index, "application/json")
        return text

    def _refuse(self, index: int, error: Refusal) -> str:
        """An error for this item alone, in the shape of TorchServe's own errors."""
        code = 400 if isinstance(error, BadDrawing | BadRequest) else 500
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


def _decoder(settings: Mapping[str, Any], response_timeout: object) -> Decoder | None:
    """The process that drawings are read in, starting. None where the platform has no way to fork one."""
    if unknown := sorted(settings.keys() - {field.name for field in fields(Limits)}):
        msg = f"model-config.yaml: handler: decoder: {unknown[0]} is not known here"
        raise ValueError(msg)
    limits = Limits(**settings)
    if isinstance(response_timeout, int) and limits.longest + 1 > response_timeout:
        msg = (
            f"model-config.yaml: on a busy machine drawings may take {limits.longest:g} s, but TorchServe ends this "
            f"worker when a batch takes {response_timeout} s: set responseTimeout higher, or decoder: seconds lower"
        )
        raise ValueError(msg)
    if not hasattr(os, "fork"):
        logger.warning("Drawings are read in the worker itself, which a bad one can hurt: this system has no fork.")
        return None
    return Decoder(limits)
