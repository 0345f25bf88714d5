"""Write the child pipeline of a matrix: a regression job for each of its entries. JSON, which GitLab reads as YAML.

python3 ci/gitlab/child.py MATRIX.json [BASE], with what `goldmar affected --matrix` printed, and the commit that the
merge request leaves its target at: a child pipeline is not told.
"""

import json
import sys
from pathlib import Path
from typing import Any


def pipeline(matrix: dict[str, list[dict[str, str]]], base: str = "") -> dict[str, Any]:
    """The jobs of `matrix`; one that says so where there are none, for GitLab refuses a pipeline without a job."""
    jobs = {
        f"regression ({entry['model']})": {
            "extends": ".regression",
            "variables": {"MODELS": entry["models"], "BASE": base},
        }
        for entry in matrix["include"]
    }
    if not jobs:
        return {"nothing to check": {"variables": {"GIT_STRATEGY": "none"}, "script": ["echo No model is reached."]}}
    return {"include": [{"local": "ci/gitlab/job.yml"}], **jobs}


if __name__ == "__main__":
    print(json.dumps(pipeline(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), *sys.argv[2:3]), indent=2))
