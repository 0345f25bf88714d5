"""A handler in TorchServe's own Service, inside this process: its status codes and bodies, without Java.

The Service is what a TorchServe worker runs. Answers are parsed from the frame that the worker would put on its
socket, so what is seen here is what the server would pass on.
"""

import importlib.util
import json
import shutil
import struct
import sys
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import ts
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from ts.model_loader import ModelLoaderFactory
from ts.service import Service
from ts.utils.util import list_classes_from_module

HANDLERS = Path(__file__).resolve().parents[2] / "handlers"
MODELS = ("thickness", "part_class", "callouts")


@dataclass(frozen=True)
class Reply:
    """status: HTTP status code of this one request. body: as sent."""

    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        def refuse(word: str) -> None:
            msg = f"{word} is not JSON"
            raise ValueError(msg)

        return json.loads(self.body, parse_constant=refuse)


def parameter(value: Any, content_type: str = "", name: str = "body") -> dict[str, Any]:
    """One field of a request as the worker hands it to the Service, JSON and text decoded by content type."""
    if isinstance(value, bytes):
        if content_type == "application/json":
            try:
                value = json.loads(value)
            except Exception:  # as TorchServe does, for nesting too deep as well
                value = bytearray(value)
        elif content_type.startswith("text"):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                value = bytearray(value)
        else:
            value = bytearray(value)
    return {"name": name, "contentType": content_type, "value": value}


class Worker:
    """One loaded handler, and its own modules by name; `predict` takes the parameters of each request of a batch."""

    def __init__(self, service: Service, modules: Mapping[str, ModuleType]) -> None:
        self.service = service
        self.modules = modules
        service.set_cl_socket(None)

    @property
    def handler(self) -> Any:
        return self.service._entry_point.__self__

    @property
    def model(self) -> str:
        """Name of the model, as its archive says."""
        return str(self.handler.manifest["model"]["modelName"])

    def predict(
        self, requests: Iterable[list[dict[str, Any]]], headers: Sequence[Mapping[str, str]] = ()
    ) -> list[Reply]:
        """`headers` has those of each request, or is empty for none at all."""
        batch = [
            {
                "requestId": f"request-{index}".encode(),
                "parameters": parameters,
                "headers": [
                    {"name": name.encode(), "value": value.encode()}
                    for name, value in (headers[index] if headers else {}).items()
                ],
            }
            for index, parameters in enumerate(requests)
        ]
        return list(_parse(bytes(self.service.predict(batch))))

    def ask(self, data: bytes, content_type: str = "") -> Reply:
        (reply,) = self.predict([[parameter(data, content_type)]])
        return reply


def _parse(frame: bytes) -> Iterator[Reply]:
    """The answers in a frame of ts.protocol.otf_message_handler.create_predict_response."""
    offset = 0

    def number() -> int:
        nonlocal offset
        (value,) = struct.unpack_from("!i", frame, offset)
        offset += 4
        return int(value)

    def chunk(length: int) -> bytes:
        nonlocal offset
        offset += length
        return frame[offset - length : offset]

    number()
    chunk(number())
    while (length := number()) >= 0:
        chunk(length)
        content_type = chunk(number()).decode()
        status = number()
        chunk(number())
        for _ in range(number()):
            chunk(number())
            chunk(number())
        yield Reply(status, content_type, chunk(number()))


def stage(model: str, folder: Path) -> Path:
    """The files of a handler laid flat in `folder`, as TorchServe unpacks its archive.

    Weights that are not trained yet are made up, from a fixed seed.
    """
    source = HANDLERS / model
    recipe = tomllib.loads((source / "archive.toml").read_text())
    files = [path for path in source.iterdir() if path.suffix in (".py", ".yaml", ".pt")]
    for path in [*files, *(HANDLERS / "common" / name for name in recipe["common"])]:
        shutil.copy(path, folder / path.name)
    if not (folder / "weights.pt").exists():
        _make_up_weights(folder)
    manifest = {
        "model": {
            "modelName": model,
            "handler": "handler.py",
            "modelFile": "model.py",
            "serializedFile": "weights.pt",
            "configFile": "model-config.yaml",
        }
    }
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    return folder


def _make_up_weights(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"untrained_{folder.name}", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (net,) = list_classes_from_module(module, torch.nn.Module)
    torch.manual_seed(0)
    torch.save(net().state_dict(), folder / "weights.pt")


@contextmanager
def loaded(folder: Path) -> Iterator[Worker]:
    """The handler of a staged folder, loaded by TorchServe; torch has as many threads afterwards as it had before."""
    threads = torch.get_num_threads()
    try:
        yield _loaded(folder)
    finally:
        torch.set_num_threads(threads)


def _loaded(folder: Path) -> Worker:
    """All models call their modules the same, so each is loaded from its own folder with none of the others known.

    Then a name means again what it meant before: what a test imports is never a module of somebody's worker.
    """
    names = {path.stem for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    modules: dict[str, ModuleType] = {}
    sys.path.insert(0, str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves the file open
            metrics = MetricsCacheYamlImpl(str(Path(ts.__file__).parent / "configs" / "metrics.yaml"))
        metrics.initialize_cache()
        service = ModelLoaderFactory.get_model_loader().load(
            folder.name, str(folder), "handler.py", None, 4, metrics_cache=metrics
        )
    finally:
        sys.path.remove(str(folder))
        modules |= {name: sys.modules.pop(name) for name in names if name in sys.modules}
        sys.modules.update(before)
    return Worker(service, modules)
