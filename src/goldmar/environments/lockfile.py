"""Making a lock file with uv: for the Python of the images, and with torch as the build for CPUs."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from goldmar.environments import builds, uv
from goldmar.errors import ConfigError, UninstallableError, UnreachableError
from goldmar.locks import parse_lock

PYTHON = "3.11"
"""The Python of the images."""


def make_lock(root: Path, wanted: str, target: str) -> str:
    """The text of the lock file `target` for the requirements file `wanted`; both are paths below `root`.

    Pins that `target` already has are kept where they still fit. Raises MissingExtraError without uv,
    UninstallableError and UnreachableError with the resolver's message, ConfigError where torch is for CUDA only.
    """
    command = f"uv pip compile --python-version {PYTHON} {wanted} -o {target}"

    def compiled(options: Sequence[str] = (), constraint: str = "") -> str:
        with TemporaryDirectory() as folder:
            out, constraints = Path(folder) / "lock.txt", Path(folder) / "constraints.txt"
            if (root / target).exists():
                out.write_bytes((root / target).read_bytes())
            constraints.write_text(constraint, encoding="utf-8")
            more = ["--constraint", str(constraints)] if constraint else []
            uv.compile_file(root, wanted, out, [*_platform(), *options, *more], command)
            text = out.read_text(encoding="utf-8")
        return re.sub(rf"^    #   -c {re.escape(folder)}.*\n", "", text, flags=re.MULTILINE)

    def newest(options: Sequence[str]) -> str | None:
        with TemporaryDirectory() as folder:
            only, out = Path(folder) / "torch.in", Path(folder) / "torch.txt"
            only.write_text("torch\n", encoding="utf-8")
            try:
                uv.compile_file(root, str(only), out, [*_platform(), "--no-deps", "--no-index", *options], command)
            except (UninstallableError, UnreachableError):
                return None
            pin = parse_lock(out.read_text(encoding="utf-8"), target).pins["torch"].version
            return pin if pin.endswith("+cpu") else None

    text = compiled()
    first = parse_lock(text, target)
    if not builds.is_for_cuda(first):
        return text
    pages = builds.pages(first)
    for options in ([], pages):  # where uv looks anyway, then PyTorch's index, each with its newest version
        version = newest(options)
        if version is None:
            continue
        for constraint in ("", f"torch=={version}\n"):  # the resolver's choice, if that is a build for CPUs
            try:
                text = compiled(options, constraint)
            except (UninstallableError, UnreachableError):
                continue
            if not builds.is_for_cuda(parse_lock(text, target)):
                return text
    raise ConfigError(
        f"{wanted}: no build of torch for CPUs was found that fits, neither where pip and uv look nor at {pages[1]}. "
        f"The newest, {first.pins['torch'].version}, is for CUDA: some 6 GB.",
        fix="GOLDMAR_TORCH_INDEX=URL, a copy of that index, or PIP_FIND_LINKS=FOLDER with such a build",
    )


def _platform() -> list[str]:
    """For Linux, as the images are."""
    other = [] if sys.platform == "linux" else ["--python-platform", "linux"]
    return ["--python-version", PYTHON, *other]
