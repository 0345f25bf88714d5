"""The handler that TorchServe calls: one class, which turns requests into answers."""

import json
from pathlib import Path

import torch
from decoder import Decoder, DecoderFault, Limits
from model import LABELS, SmallNet
from preprocess import drawing_bytes, to_tensor
from sheet import BadDrawing
from stages import Stages
from ts.torch_handler.base_handler import BaseHandler

# Why a drawing has no answer: the fault lies in the drawing, or here. str() is a sentence for its sender.
Refusal = BadDrawing | DecoderFault


class Handler(Stages, BaseHandler):
    """Answers {"label": ..., "scores": {label: ...}}, and a sentence with status 400 for what it cannot read.

    Drawings are read in another process: one that hangs or crashes takes that with it, and not this worker. What is
    handed to `keep` is for `goldmar check --explain`, and costs nothing until that asks.
    """

    def initialize(self, context) -> None:
        settings = context.model_yaml_config["handler"]
        # TorchServe sets no thread count, and several workers with torch's default fight over the cores.
        torch.set_num_threads(settings["threads"])
        self.side, self.channels = settings["side"], settings["channels"]
        read = "read_gray" if self.channels == 1 else "read_colours"  # of sheet.py
        self.decoder = Decoder(Limits(**settings["decoder"]), "sheet", read)
        folder = Path(context.system_properties["model_dir"])
        weights = folder / context.manifest["model"]["serializedFile"]
        self.model = SmallNet()
        self.model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.model.eval()
        self.decoder.wait()
        self.initialized = True

    def preprocess(self, data: list[dict]) -> list[torch.Tensor | Refusal]:
        """One entry a request, so that a bad drawing spoils nobody else's answer."""
        prepared = [or_refusal(drawing_bytes, item) for item in data]
        with self.decoder.ahead([body for body in prepared if isinstance(body, bytes)]):
            for index, body in enumerate(prepared):
                sheet = or_refusal(self.decoder.read, body) if isinstance(body, bytes) else body
                if not isinstance(sheet, Refusal):
                    self.keep(index, "decode", sheet)
                    sheet = to_tensor(sheet, self.side, self.channels)
                    self.keep(index, "preprocess", sheet)
                prepared[index] = sheet
        return prepared

    def inference(self, data: list[torch.Tensor | Refusal], *args, **kwargs) -> list[list[float] | Refusal]:
        """Asks the model once for the whole batch; returns each drawing's scores in the order of LABELS."""
        places = [index for index, item in enumerate(data) if not isinstance(item, Refusal)]
        scores: list[list[float]] = []
        if places:
            with torch.inference_mode():
                logits = self.model(torch.stack([data[index] for index in places]))
            self.keep_rows(places, "inference", logits)
            scores = logits.softmax(dim=1).tolist()
        rows = iter(scores)
        return [item if isinstance(item, Refusal) else next(rows) for item in data]

    def postprocess(self, data: list[list[float] | Refusal]) -> list[str]:
        answers = []
        for index, item in enumerate(data):
            self.context.set_response_content_type(index, "application/json")
            if isinstance(item, Refusal):
                # Raising would answer 503 to the whole batch; this gives only this request its own status.
                code, name = (400 if isinstance(item, BadDrawing) else 500), type(item).__name__
                self.context.set_response_status(code=code, phrase=name, idx=index)
                answers.append(json.dumps({"code": code, "type": name, "message": str(item)}))
            else:
                scores = dict(zip(LABELS, item, strict=True))
                answers.append(json.dumps({"label": max(scores, key=scores.__getitem__), "scores": scores}))
        return answers


def or_refusal(step, data):
    """step(data), or why there is none."""
    try:
        return step(data)
    except (BadDrawing, DecoderFault) as refusal:
        return refusal
