"""The models for a CI server: the matrix of GitHub Actions, which GitLab's generator reads as well."""

import json
from collections.abc import Sequence

from goldmar.records import Selection
from goldmar.text import shortened

MOST_JOBS = 256
"""GitHub's limit for the jobs of a matrix in one run."""

_WHY = 200  # characters a job: the outputs of a job share a limit of 1 MiB


def render(found: Selection, jobs: int = MOST_JOBS) -> str:
    """One line of JSON, `{"include": [...]}`, of at most `jobs` entries.

    Each entry has `model`, the name of the job; `models`, the models that it checks, with blanks between them; and
    `why`. Where there are more models than jobs, neighbours share one, as evenly as they go.

    Nothing selected is `{"include":[]}`, which GitHub refuses as a matrix: guard the job with
    `if: fromJSON(...).include[0]`.
    """
    names = list(found.models)
    count = min(jobs, len(names))
    chunks = (names[len(names) * at // count : len(names) * (at + 1) // count] for at in range(count))
    include = [_entry(chunk, found) for chunk in chunks]
    return json.dumps({"include": include}, separators=(",", ":"))


def _entry(chunk: Sequence[str], found: Selection) -> dict[str, str]:
    first = chunk[0]
    name = first if len(chunk) == 1 else f"{first} to {chunk[-1]} ({len(chunk)} models)"
    reasons = [*(reason for model in chunk for reason in found.models[model]), *found.everything]
    return {"model": name, "models": " ".join(chunk), "why": shortened("; ".join(dict.fromkeys(reasons)), _WHY)}
