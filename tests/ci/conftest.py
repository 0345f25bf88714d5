"""A repository as a user has one: two small models with goldens, and the scripts of ci/."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.repository import Repository

ROOT = Path(__file__).resolve().parents[2]

HANDLER = """
import json

from mean import mean


class Handler:
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        return [{"mean": mean(self.numbers(row)), "count": len(self.numbers(row))} for row in data]

    def numbers(self, row):
        body = row.get("body")
        return (json.loads(body) if isinstance(body, (bytes, bytearray)) else body)["numbers"]
"""
CONFIG = """minWorkers: 1
maxWorkers: 1
batchSize: 1
maxBatchDelay: 0
startupTimeout: 60
responseTimeout: 60
"""
NUMBERS = {"a": [1.0, 2.0, 6.0], "b": [0.5, 1.5]}
MEAN = "def mean(numbers):\n    return sum(numbers) / len(numbers)\n"


def model(name: str, common: str = '["mean.py"]') -> dict[str, str]:
    rows = [f"{key},count,{len(value)}\n{key},mean,{sum(value) / len(value)!r}\n" for key, value in NUMBERS.items()]
    return {
        f"handlers/{name}/archive.toml": f'version = "1.0"\ncommon = {common}\n',
        f"handlers/{name}/handler.py": HANDLER,
        f"handlers/{name}/model.py": "class Net:\n    pass\n",
        f"handlers/{name}/model-config.yaml": CONFIG,
        f"handlers/{name}/requirements.txt": "numpy>=1.26\n",
        f"handlers/{name}/weights.pt": "none\n",
        f"golden/{name}/expected.csv": f"drawing_id,name,pred\n{''.join(rows)}",
        f"golden/{name}/tolerance.toml": "[default]\natol = 1e-6\n",
        **{f"golden/{name}/drawings/{key}.json": json.dumps({"numbers": value}) for key, value in NUMBERS.items()},
    }


@pytest.fixture
def workshop(tmp_path: Path) -> Repository:
    """gear and shaft, which share handlers/common/mean.py, and rim, which has a module of that name of its own."""
    rim = {**model("rim", common="[]"), "handlers/rim/mean.py": MEAN}
    files = {
        **model("gear"),
        **model("shaft"),
        **rim,
        "handlers/common/mean.py": MEAN,
        ".gitignore": "reports/\n*.mar\n",
    }
    repo = Repository(tmp_path / "workshop", files)
    (repo.root / "ci").mkdir()
    for script in ("culprit", "local", "regression"):
        shutil.copy2(ROOT / "ci" / script, repo.root / "ci" / script)
    repo.git("checkout", "-q", "main")
    repo.commit("the scripts")
    repo.git("checkout", "-q", "branch")
    repo.git("merge", "-q", "main")
    return repo
