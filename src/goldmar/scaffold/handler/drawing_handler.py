"""What a handler of drawings does the same way whatever its model is: load, batch, refuse single items, answer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from decoder import Decoder, DecoderFault, Limits
from preprocess import drawing_bytes, to_tensor
from sheet import BadDrawing
from stages import Stages
from ts.torch_handler.base_handler import BaseHandler

Answer = dict[str, Any]

# Why a drawing has no answer: the fault lies in the drawing, or here. str() is a sentence for its sender.
Refusal = BadDrawing | DecoderFault


class DrawingHandler(Stages, BaseHandler):
    """Subclass with `network` and `answers`; TorchServe calls `initialize` once and `handle` for each batch.

    Drawings are read in another process: one that hangs or crashes takes that with it, and not this worker. What is
    handed to `keep` is for `goldmar check --explain`, and costs nothing until that asks.
    """

    network: type[torch.nn.Module]

    def answers(self, output: torch.Tensor) -> list[Answer]:
        """The model's output for B drawings as B objects of plain dicts, lists, strings and numbers."""
        raise NotImplementedError

    # --- called by TorchServe

    def initialize(self, context: Any) -> None:
        settings = context.model_yaml_config["handler"]
        # TorchServe sets no thread count, and several workers with torch's default fight over the cores.
        torch.set_num_threads(settings["threads"])
        self.side, self.channels = settings["side"], settings["channels"]
        read = "read_gray" if self.channels == 1 else "read_colours"  # of sheet.py
        self.decoder = Decoder(Limits(**settings["decoder"]), "sheet", read)
        folder = Path(context.system_properties["model_dir"])
        weights = folder / context.manifest["model"]["serializedFile"]
        self.model = self.network()
        self.model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.model.eval()
        self.decoder.wait()
        self.initialized = True

    def preprocess(self, data: Sequence[dict[str, Any]]) -> list[torch.Tensor | Refusal]:
        """One entry a request, so that a bad drawing spoils nobody else's answer."""
        prepared = [_or_refusal(drawing_bytes, item) for item in data]
        with self.decoder.ahead([body for body in prepared if isinstance(body, bytes)]):
            for index, body in enumerate(prepared):
                sheet = _or_refusal(self.decoder.read, body) if isinstance(body, bytes) else body
                if not isinstance(sheet, Refusal):
                    self.keep(index, "decode", sheet)
                    sheet = to_tensor(sheet, self.side, self.channels)
                    self.keep(index, "preprocess", sheet)
                prepared[index] = sheet
        return prepared

    def inference(self, data: list[torch.Tensor | Refusal], *args: Any, **kwargs: Any) -> list[Answer | Refusal]:
        """Asks the model once for the whole batch."""
        places = [index for index, item in enumerate(data) if not isinstance(item, Refusal)]
        if not places:
            return data
        with torch.inference_mode():
            output = self.model(torch.stack([data[index] for index in places]))
        self.keep_rows(places, "inference", output)
        answers = iter(self.answers(output))
        return [item if isinstance(item, Refusal) else next(answers) for item in data]

    def postprocess(self, data: list[Answer | Refusal]) -> list[str]:
        return [self._text(index, item) for index, item in enumerate(data)]

    def _text(self, index: int, item: Answer | Refusal) -> str:
        self.context.set_response_content_type(index, "application/json")
        if not isinstance(item, Refusal):
            return json.dumps(item)
        # Raising would answer 503 to the whole batch; this gives only this request its own status.
        code, name = (400 if isinstance(item, BadDrawing) else 500), type(item).__name__
        self.context.set_response_status(code=code, phrase=name, idx=index)
        return json.dumps({"code": code, "type": name, "message": str(item)})


def _or_refusal(step, data):
    """step(data), or why there is none."""
    try:
        return step(data)
    except (BadDrawing, DecoderFault) as refusal:
        return refusal
