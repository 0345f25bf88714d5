"""The handlers' own modules, so that training sees drawings through the code that serves them.

Inside an archive a handler's files lie flat and import each other by bare names. Three of them are called model.py,
so each is loaded from its path under a name of its own.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

HANDLERS = Path(__file__).resolve().parent.parent / "handlers"


@cache
def load(folder: str, module: str) -> ModuleType:
    """handlers/<folder>/<module>.py as a module."""
    path = HANDLERS / folder / f"{module}.py"
    if folder == "common" and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    name = f"handlers_{folder}_{module}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        msg = f"cannot load {path}"
        raise ImportError(msg)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def read_sheet(data: bytes) -> Any:
    """`read_sheet` of handlers/common/drawing.py: a Sheet with pixels, mm_per_px, source_px_per_px."""
    return load("common", "drawing").read_sheet(data)


def new_model(name: str) -> nn.Module:
    """The untrained network of handlers/<name>/model.py, whose only nn.Module class it is."""
    module = load(name, "model")
    (found,) = (
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, nn.Module) and item.__module__ == module.__name__
    )
    model: nn.Module = found()
    return model


def weights_path(name: str) -> Path:
    return HANDLERS / name / "weights.pt"


def trained_model(name: str, weights: Path | None = None) -> nn.Module:
    """The network with its weights, ready to predict."""
    model = new_model(name)
    model.load_state_dict(torch.load(weights or weights_path(name), weights_only=True))
    return model.eval()


def save_weights(model: nn.Module, path: Path) -> None:
    """A plain state_dict, contiguous, on the CPU."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
