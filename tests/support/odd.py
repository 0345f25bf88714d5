"""A model that does what the drawing says, and what a TorchServe 0.12 with that model answers."""

from pathlib import Path

from goldmar.archive import build
from goldmar.records import Answer

__all__ = ["ANSWERS", "HANDLER", "failed", "make"]

# Does what the body says, so that one worker shows all answers.
HANDLER = """
import os, subprocess, sys, time

import torch
from helper import WHO
from ts.utils.util import PredictionException


class Handler:
    def initialize(self, context):
        self.batch_size = context.system_properties["batch_size"]
        self.color = context.model_yaml_config["handler"]["color"]
        self.weights = open(os.path.join(context.system_properties["model_dir"], "weights.pt")).read()

    def handle(self, data, context):
        body = data[0]["body"]
        what = body if isinstance(body, str) else "echo"
        context.set_response_content_type(0, "application/json")
        return getattr(self, what)(body, context)

    def echo(self, body, context):
        kind = type(body).__name__
        header = context.get_request_header(0, "Content-Type")
        size = len(body) if isinstance(body, (bytes, bytearray)) else None
        value = body if isinstance(body, dict) else None
        return [{"kind": kind, "header": header, "size": size, "value": value}]

    def state(self, body, context):
        return [[WHO, self.color, self.weights, self.batch_size, os.getpid(), os.getcwd(), sys.path]]

    def raises(self, body, context):
        raise KeyError("no such key")

    def refuses(self, body, context):
        raise PredictionException("this drawing has no scale", 422)

    def refuses_with_413(self, body, context):
        raise PredictionException("too large", 413)

    def memory(self, body, context):
        raise MemoryError

    def item(self, body, context):
        context.set_response_status(code=415, phrase="Unsupported", idx=0)
        return ["not a drawing"]

    def phrase(self, body, context):
        phrase = "\\u56f3\\u9762\\u304c\\u58ca\\u308c\\u3066\\u3044\\u307e\\u3059"
        context.set_response_status(code=400, phrase=phrase, idx=0)
        return ["x" * 100]

    def wrong_count(self, body, context):
        return [1, 2]

    def no_list(self, body, context):
        return {"a": 1}

    def not_json(self, body, context):
        return [object()]

    def nan(self, body, context):
        return [{"a": float("nan"), "b": float("inf")}]

    def text(self, body, context):
        context.set_response_content_type(0, "text/plain")
        return ["\\u539a\\u3055"]

    def raw(self, body, context):
        context.set_response_content_type(0, "image/png")
        return [bytes(range(256))]

    def no_content_type(self, body, context):
        context._request_processor[0]._response_header.clear()
        return [{"a": 1}]

    def empty(self, body, context):
        return [""]

    def large(self, body, context):
        return [b"y" * 20_000_000]

    def huge(self, body, context):
        return [b"z" * (64 * 1024 * 1024 + 1)]

    def streams(self, body, context):
        from ts.handler_utils.utils import send_intermediate_predict_response
        for number in range(3):
            send_intermediate_predict_response([f"{number},"], context.request_ids, "ok", 200, context)
        return ["end"]

    def prints(self, body, context):
        print("\\x00\\x00\\x00\\x01 not a frame", flush=True)
        os.write(1, b"\\xff\\xfe raw bytes\\n" * 10000)
        os.write(2, b"on stderr\\n")
        return ["printed"]

    def reads_stdin(self, body, context):
        return [sys.stdin.read()]

    def dies(self, body, context):
        os._exit(7)

    def killed(self, body, context):
        os.kill(os.getpid(), 9)

    def segfault(self, body, context):
        import ctypes
        ctypes.string_at(0)

    def says_goodbye(self, body, context):
        import atexit
        atexit.register(open, os.environ["GOODBYE"], "w")
        return ["will do"]

    def sleeps(self, body, context):
        time.sleep(600)

    def starts_another(self, body, context):
        return [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid]
"""
CONFIG = """minWorkers: 1
maxWorkers: 1
batchSize: 3
maxBatchDelay: 0
startupTimeout: 60
responseTimeout: {timeout}
handler:
  color: green
"""


def make(root: Path, model: str = "odd", *, handler: str = HANDLER, timeout: int = 60) -> Path:
    folder = root / "handlers" / model
    folder.mkdir(parents=True)
    (folder / "handler.py").write_text(handler, encoding="utf-8")
    (folder / "helper.py").write_text(f"WHO = {model!r}\n")
    (folder / "model.py").write_text("class Net:\n    pass\n")
    (folder / "weights.pt").write_text(f"weights of {model}")
    (folder / "model-config.yaml").write_text(CONFIG.format(timeout=timeout))
    (folder / "archive.toml").write_text('version = "1.3"\n')
    return build(folder, root / "model_store").path


def failed(code: int, message: str) -> Answer:
    """The body that TorchServe's frontend writes (NettyUtils.sendError), with Gson's two spaces and a line end."""
    body = f'{{\n  "code": {code},\n  "type": "InternalServerException",\n  "message": "{message}"\n}}\n'
    return Answer(code, "application/json", body.encode())


ANSWERS = {
    "raises": failed(503, "Prediction failed"),
    "nosuch": failed(503, "Prediction failed"),
    "refuses": failed(422, "this drawing has no scale"),
    "refuses_with_413": failed(507, "too large"),
    "memory": failed(507, "Out of resources"),
    "wrong_count": failed(503, "number of batch response mismatched"),
    "no_list": failed(503, "Invalid model predict output"),
    "not_json": failed(503, "Unsupported model output data type."),
    "item": Answer(415, "application/json", b"not a drawing"),
    "nan": Answer(200, "application/json", b'{\n  "a": NaN,\n  "b": Infinity\n}'),
    "text": Answer(200, "text/plain", "厚さ".encode()),
    "raw": Answer(200, "image/png", bytes(range(256))),
    "no_content_type": Answer(200, "", b'{\n  "a": 1\n}'),
    "empty": Answer(200, "application/json", b""),
    "large": Answer(200, "application/json", b"y" * 20_000_000),
    "streams": Answer(200, "application/json", b"0,1,2,end"),
    "prints": Answer(200, "application/json", b"printed"),
}
