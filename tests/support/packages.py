"""Small packages of our own, as wheels and in lock files, and a model that computes with them."""

import base64
import contextlib
import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in")
"""A folder for PYTHONPATH where workers need torch and do not compute with it."""


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


def index(folder: Path, wheels: Sequence[Path]) -> None:
    """A package index of these wheels as plain files (PEP 503), their metadata beside them (PEP 658) as PyPI has."""
    pages: dict[str, list[str]] = {}
    for path in wheels:
        name, metadata = path.name.split("-")[0].replace("_", "-"), f"{path.name}.metadata"
        with zipfile.ZipFile(path) as archive:
            (info,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
            text = archive.read(info)
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / metadata).write_bytes(text)
        (folder / name / path.name).write_bytes(path.read_bytes())
        digest = hashlib.sha256(text).hexdigest()
        link = f'<a href="{quote(path.name)}" data-dist-info-metadata="sha256={digest}">{path.name}</a>\n'
        pages.setdefault(name, []).append(link)
    for name, links in pages.items():
        (folder / name / "index.html").write_text("".join(links), encoding="utf-8")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address on loopback that serves `folder`, and the paths that were asked for so far."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lock(path: Path, pins: Mapping[str, str], wheels: Path, torch: str = "") -> Path:
    """A lock file with these packages beside what TorchServe's worker needs, as ci/locks/serve.txt pins it.

    `torch` is the version of `stand_in`, for what does not compute with torch.
    """
    needed = serving()
    if torch:
        needed = "".join(f"{line}\n" for line in needed.splitlines() if line.split("==")[0] not in OF_TORCH)
        needed += f"torch=={torch}\n"
    path.write_text(f"--find-links {wheels}\n{needed}" + "".join(f"{n}=={v}\n" for n, v in sorted(pins.items())))
    return path


def stand_in(wheels: Path) -> str:
    """The torch of STAND_IN as a wheel in that folder; returns its version."""
    version = "2.13.0+stand.in"
    if not list(wheels.glob(f"torch-{version}-*")):  # another file is another package
        wheel(wheels, "torch", version, (STAND_IN / "torch.py").read_text())
    return version


class Indexes:
    """What a stranger's machine installs from: one index like PyPI's, one like PyTorch's for CPUs.

    torch is there plain, which needs a package of NVIDIA's, and as 2.13.0+cpu. Both have `helper`, and the second a
    higher version: whatever takes it was led to more than torch.
    """

    def __init__(self, folder: Path, address: str, asked: list[str]) -> None:
        made = folder.parent / "made"
        self.folder, self.asked = folder, asked
        self.stock, self.cpu = f"{address}/stock", f"{address}/cpu"
        self.build = wheel(made / "cpu", "torch", "2.13.0+cpu", "BUILD = 'cpu'")
        plain = [
            wheel(made, "torch", "2.13.0", "BUILD = 'cuda'", needs=['nvidia-cublas==13; sys_platform == "linux"']),
            wheel(made, "torch", "2.12.0", "BUILD = 'plain'", needs=["helper"]),
            wheel(made, "nvidia-cublas", "13"),
            wheel(made, "helper", "1.0"),
            wheel(made, "pip", "99.0"),
        ]
        index(folder / "stock", plain)
        index(folder / "cpu", [self.build, wheel(made / "cpu", "helper", "1.0+cpu")])

    def environment(self, environment: Mapping[str, str], cpu: str | None = None) -> dict[str, str]:
        """`environment` for a pip and a uv that know of nothing but the first index, and of the second as PyTorch's."""
        kept = {k: v for k, v in environment.items() if not k.startswith(("PIP_", "UV_", "GOLDMAR_TORCH"))}
        return kept | {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": self.stock,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "GOLDMAR_TORCH_INDEX": self.cpu if cpu is None else cpu,
        }

    def fetched(self) -> list[str]:
        """The wheels that were fetched."""
        return sorted({path.rpartition("/")[2].replace("%2B", "+") for path in self.asked if path.endswith(".whl")})


@contextlib.contextmanager
def indexes(folder: Path) -> Iterator[Indexes]:
    root = folder / "indexes"
    root.mkdir()
    with served(root) as (address, asked):
        yield Indexes(root, address, asked)


SERVING = {"enum-compat", "filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "numpy", "packaging"}
SERVING |= {"pillow", "psutil", "pyyaml", "setuptools", "sympy", "torch", "torch-model-archiver", "torchserve"}
SERVING |= {"typing-extensions", "wheel"}
OF_TORCH = {"filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "setuptools", "sympy", "torch"}
OF_TORCH |= {"typing-extensions"}


def serving() -> str:
    lines = (ROOT / "ci/locks/serve.txt").read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if line.split("==")[0] in SERVING)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


PARTS = tuple(f"part{number:02}" for number in range(1, 13))

# Imports that can be read: what a handler imports by a name that it works out is not listed with its packages.
HANDLER = (
    f"import json\nimport {', '.join(PARTS)}\n\nPARTS = [{', '.join(PARTS)}]\n"
    """

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
)


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
