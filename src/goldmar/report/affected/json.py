"""One document; its schema is docs/affected-schema.json."""

from goldmar.records import Selection
from goldmar.report.document import document


def render(found: Selection) -> str:
    return document(
        {
            "schema": 1,
            "base": found.base or None,
            "merge_bases": list(found.bases),
            "head": found.head or None,
            "working_tree": not found.head,
            "paths": found.touched,
            "known": found.known,
            "everything": found.everything,
            "models": [{"model": model, "why": why} for model, why in found.models.items()],
            "deleted": found.deleted,
            "passed_over": [{"path": path, "why": why} for path, why in found.passed_over],
        }
    )
