"""A project that is none of goldmar's: an archive that torch-model-archiver built from a JSON-in JSON-out handler."""

import json
import subprocess
import sys
from pathlib import Path

__all__ = ["HANDLER", "foreign_project", "write_golden"]

# In the style of TorchServe's own examples: a module-level function, no class, no torch.
HANDLER = """
import json

def handle(data, context):
    if data is None:
        return None
    answers = []
    for row in data:
        body = row.get("body")
        if isinstance(body, (bytes, bytearray)):
            body = json.loads(body)
        numbers = body["numbers"]
        answers.append({"mean": sum(numbers) / len(numbers), "count": len(numbers), "unit": "mm", "ok": True})
    return answers
"""

NUMBERS = {"a": [1.0, 2.0, 4.0], "b": [0.1, 0.2], "sub/c": [9.607873916625977]}


def foreign_project(root: Path, *, model: str = "means", handler: str = HANDLER, requirements: str = "") -> Path:
    """golden/<model>/drawings/*.json and model_store/<model>.mar below `root`; no golden yet, no handlers/ at all."""
    drawings = root / "golden" / model / "drawings"
    for name, numbers in NUMBERS.items():
        path = drawings / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"numbers": numbers}))
    store = root / "model_store"
    store.mkdir()
    source = root / "somebody_elses.py"
    source.write_text(handler)
    names = ["--model-name", model, "--version", "2.1", "--handler", str(source), "--export-path", str(store)]
    if requirements:
        (root / "requirements.txt").write_text(requirements)
        names += ["--requirements-file", str(root / "requirements.txt")]
    subprocess.run(
        [sys.executable, "-m", "model_archiver.model_packaging", *names],
        check=True,
        capture_output=True,
        cwd=root,
    )
    source.unlink()
    return root


def write_golden(root: Path, *, model: str = "means", changed: dict[tuple[str, str], str] | None = None) -> Path:
    """The right golden for `foreign_project`, written by hand; `changed` replaces some of its preds."""
    rows = ["drawing_id,name,pred"]
    for name, numbers in sorted(NUMBERS.items()):
        preds = {
            "count": str(len(numbers)),
            "mean": repr(sum(numbers) / len(numbers)),
            "ok": "true",
            "unit": "mm",
        }
        for value, pred in preds.items():
            rows.append(f"{name},{value},{(changed or {}).get((name, value), pred)}")
    path = root / "golden" / model / "expected.csv"
    path.write_text("\n".join(rows) + "\n")
    (path.parent / "tolerance.toml").write_text("[default]\natol = 1e-6\nrtol = 1e-6\n")
    return path
