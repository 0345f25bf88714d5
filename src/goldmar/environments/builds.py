"""Which build of torch goes into the environment of a lock file: the one for CPUs, wherever it is available.

A lock file has `torch==2.13.0`, and that release has several builds. Most indexes have the one for CUDA under the plain
version; the one for CPUs is called 2.13.0+cpu (PEP 440, local versions). ci/torch_index.py does the same for pip.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence

from packaging.version import InvalidVersion, Version

from goldmar.errors import ConfigError
from goldmar.locks import Lock, Pin
from goldmar.requirements import without_password

INDEX = "https://download.pytorch.org/whl/cpu"
_PACKAGES = ("torch", "torchvision", "torchaudio")
# xgboost needs NCCL, on CPUs too; tritonclient is unrelated.
_CUDA = re.compile(r"(?!nvidia[-_]nccl)(nvidia|cuda)[-_]|(pytorch[-_])?triton([-_](rocm|xpu))?$", re.IGNORECASE)
_QUICK: Mapping[str, str] = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}

Compile = Callable[[Sequence[str], Sequence[str], Mapping[str, str]], Lock | None]
"""Lines of requirements, options of uv and its variables -> the resolved lock file; None where that fails."""


def is_for_cuda(lock: Lock) -> bool:
    """Whether it pins packages that only a build for CUDA brings."""
    return any(_CUDA.match(name) for name in lock.pins)


def pages(lock: Lock) -> list[str]:
    """uv's options that lead to the builds for CPUs of what `lock` pins, and to nothing else."""
    return [word for name in _PACKAGES if name in lock.pins for word in ("--find-links", _page(name))]


def for_cpus(lock: Lock, compile_: Compile) -> tuple[list[str], list[str]]:
    """Requirements and options of uv that choose the builds for CPUs of what `lock` pins; empty where none are needed.

    They are looked for where uv looks anyway, then on the page of this package in PyTorch's index, or in that of
    GOLDMAR_TORCH_INDEX. The index itself is not passed to uv: nothing else may come from there. Unchanged are a pin of
    another build or of a file, a lock file that pins packages for CUDA, and with GOLDMAR_TORCH=cuda all of them.

    Raises ConfigError where only a build for CUDA is available, and for another value of GOLDMAR_TORCH.
    """
    wanted = os.environ.get("GOLDMAR_TORCH") or "cpu"
    if wanted not in {"cpu", "cuda"}:
        raise ConfigError(f"GOLDMAR_TORCH is {wanted!r}.", fix="GOLDMAR_TORCH=cpu, or GOLDMAR_TORCH=cuda")
    requirements: list[str] = []
    options: list[str] = []
    if wanted == "cpu" and not is_for_cuda(lock):
        for pin in (lock.pins[name] for name in _PACKAGES if name in lock.pins):
            build = _build(pin)
            more = _place(lock, pin, build, compile_) if build else None
            if more is not None:
                options += more
                # With hashes the file is identified, and this line would need one as well.
                requirements += [] if pin.hashes else [f"{pin.name}=={build}"]
    return requirements, options


def _build(pin: Pin) -> str | None:
    try:
        version = Version(pin.version)
    except InvalidVersion:
        return None  # a file of its own
    return f"{version.public}+cpu" if version.local in {None, "cpu"} else None


def _page(name: str) -> str:
    return f"{(os.environ.get('GOLDMAR_TORCH_INDEX') or INDEX).rstrip('/')}/{name}/"


def _place(lock: Lock, pin: Pin, build: str, compile_: Compile) -> list[str] | None:
    """uv's options that find the build; None where the plain release is for CPUs, or nothing was found."""
    page = _page(pin.name)
    wanted = f"{pin.name}=={build}"
    options = [str(option) for option in lock.anchored()]
    if compile_([*options, wanted], ["--no-deps"], {}):
        return []
    if compile_([wanted], ["--no-deps", "--no-index", "--find-links", page], _QUICK):
        return ["--find-links", page]
    if pin.hashes:
        return None
    found = compile_([*options, pin.line], [], {})  # that is for CPUs too on macOS, or in an index with own builds
    if cuda := sorted(name for name in (found.pins if found else ()) if _CUDA.match(name)):
        page = without_password(page)
        raise ConfigError(
            f"{lock.path}: the build of {pin.name}=={pin.version} for CPUs is neither where pip and uv look nor at "
            f"{page}. What is found is for CUDA and brings {len(cuda)} packages for it ({cuda[0]}, ...): some 6 GB.",
            fix=f"GOLDMAR_TORCH_INDEX=URL, a copy of that index, or PIP_FIND_LINKS=FOLDER with {wanted}; "
            "GOLDMAR_TORCH=cuda takes what is found",
        )
    return None
