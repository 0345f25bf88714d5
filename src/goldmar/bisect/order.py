"""The order in which changes are tried: those likely to change a prediction first."""

from collections.abc import Iterable, Mapping

from packaging.version import InvalidVersion, Version

NUMBERS = (
    "pillow", "opencv-python-headless", "opencv-python", "opencv-contrib-python", "numpy", "imagecodecs", "pyvips",
    "pyvips-binary", "pypdfium2", "pypdfium2-raw", "pymupdf", "scikit-image", "scipy", "tifffile", "imageio", "torch",
    "torchvision", "onnxruntime", "timm", "albumentations", "kornia", "scikit-learn", "numba", "llvmlite", "pandas",
)  # fmt: skip
"""What decodes a drawing or computes with it, the most likely first."""


def by_suspicion(
    changes: Mapping[str, tuple[str | None, str | None]], requested: Iterable[str], closure: Iterable[str]
) -> list[str]:
    """The changed packages, the most suspicious first.

    `requested` are those that the models' requirements name, `closure` those and all that they need. Whether a package
    computes anything counts before the size of the step (2.1 to 3.0 is larger than 2.1.0 to 2.1.1).
    """
    direct, reached = set(requested), set(closure)

    def rank(name: str) -> tuple[int, int, int, str]:
        near = 0 if name in direct else 1 if name in reached else 2
        known = NUMBERS.index(name) if name in NUMBERS else len(NUMBERS)
        # A package that computes and was not requested comes before one that was requested and does not compute.
        return near + (0 if name in NUMBERS else 2), known, _step(*changes[name]), name

    return sorted(changes, key=rank)


def _step(old: str | None, new: str | None) -> int:
    """0 for another major version, 1 for a minor one, 2 for the rest; 0 for what cannot be told."""
    try:
        before, after = (Version(version or "").release for version in (old, new))
    except InvalidVersion:
        return 0
    return next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 2)
