"""Small packages of our own, as wheels and in lock files, and a model that computes with them."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def wheel(folder: Path, name: str, version: str, code: str = "", needs: Sequence[str] = ()) -> Path:
    """One module of that name. Built by hand: no build backend has to be fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{module}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(inside, text)
    return path


def lock(path: Path, pins: Mapping[str, str], wheels: Path) -> Path:
    """A lock file with these packages beside what TorchServe's worker needs, as ci/locks/serve.txt pins it."""
    path.write_text(f"--find-links {wheels}\n{serving()}" + "".join(f"{n}=={v}\n" for n, v in sorted(pins.items())))
    return path


SERVING = {"enum-compat", "filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "numpy", "packaging"}
SERVING |= {"pillow", "psutil", "pyyaml", "setuptools", "sympy", "torch", "torch-model-archiver", "torchserve"}
SERVING |= {"typing-extensions", "wheel"}


def serving() -> str:
    lines = (ROOT / "ci/locks/serve.txt").read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if line.split("==")[0] in SERVING)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


HANDLER = """
import importlib, json

PARTS = [importlib.import_module(f"part{number:02}") for number in range(1, 13)]

def handle(data, context):
    if data is None:
        return None
    shift = sum(part.SHIFT for part in PARTS)
    factors = [part.FACTOR for part in PARTS]
    pairs = (sum(factors) ** 2 - sum(factor * factor for factor in factors)) / 2
    answers = []
    for row in data:
        body = row.get("body")
        numbers = (json.loads(body) if isinstance(body, (bytes, bytearray)) else body)["numbers"]
        mean = sum(numbers) / len(numbers) + shift + pairs
        answers.append({"mean": mean, "count": len(numbers), "unit": "mm", "ok": True})
    return answers
"""

PARTS = tuple(f"part{number:02}" for number in range(1, 13))


def part(
    folder: Path,
    name: str,
    version: str,
    *,
    shift: float = 0.0,
    factor: float = 0.0,
    code: str = "",
    needs: Sequence[str] = (),
) -> Path:
    """A package that adds `shift` to the answer; so does the product of the `factor` of any two of them."""
    return wheel(folder, name, version, f"SHIFT = {shift!r}\nFACTOR = {factor!r}\n{code}", needs)
