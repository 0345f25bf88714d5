"""The handler that TorchServe calls: one class, which turns requests into answers."""

import json
from pathlib import Path

import torch
from model import LABELS, SmallNet
from preprocess import BadDrawing, decode, drawing_bytes, to_tensor
from stages import Stages
from ts.torch_handler.base_handler import BaseHandler

# A drawing's tensor, or the sentence that says why there is none.
Prepared = torch.Tensor | str


class Handler(Stages, BaseHandler):
    """Answers {"label": ..., "scores": {label: ...}}, and a sentence with status 400 for what it cannot read.

    What it hands to `keep` is for `goldmar check --explain`, and costs nothing until that asks.
    """

    def initialize(self, context) -> None:
        settings = context.model_yaml_config["handler"]
        # TorchServe sets no thread count, and several workers with torch's default fight over the cores.
        torch.set_num_threads(settings["threads"])
        self.side, self.mode = settings["side"], settings["mode"]
        folder = Path(context.system_properties["model_dir"])
        weights = folder / context.manifest["model"]["serializedFile"]
        self.model = SmallNet()
        self.model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.model.eval()
        self.initialized = True

    def preprocess(self, data: list[dict]) -> list[Prepared]:
        """One entry a request, so that a bad drawing spoils nobody else's answer."""
        prepared: list[Prepared] = []
        for index, item in enumerate(data):
            try:
                drawing = decode(drawing_bytes(item), self.mode)
            except BadDrawing as error:
                prepared.append(str(error))
                continue
            self.keep(index, "decode", drawing)
            prepared.append(to_tensor(drawing, self.side))
            self.keep(index, "preprocess", prepared[-1])
        return prepared

    def inference(self, data: list[Prepared], *args, **kwargs) -> list[list[float] | str]:
        """Asks the model once for the whole batch; returns each drawing's scores in the order of LABELS."""
        places = [index for index, item in enumerate(data) if not isinstance(item, str)]
        scores: list[list[float]] = []
        if places:
            with torch.inference_mode():
                logits = self.model(torch.stack([data[index] for index in places]))
            self.keep_rows(places, "inference", logits)
            scores = logits.softmax(dim=1).tolist()
        rows = iter(scores)
        return [item if isinstance(item, str) else next(rows) for item in data]

    def postprocess(self, data: list[list[float] | str]) -> list[str]:
        answers = []
        for index, item in enumerate(data):
            self.context.set_response_content_type(index, "application/json")
            if isinstance(item, str):
                # Raising would answer 503 to the whole batch; this gives only this request its own status.
                self.context.set_response_status(code=400, phrase="Bad Request", idx=index)
                answers.append(json.dumps({"code": 400, "type": "BadDrawing", "message": item}))
            else:
                scores = dict(zip(LABELS, item, strict=True))
                answers.append(json.dumps({"label": max(scores, key=scores.__getitem__), "scores": scores}))
        return answers
