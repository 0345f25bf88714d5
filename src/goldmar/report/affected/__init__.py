"""Which models a change reaches: `terminal` for people, `markdown` the same for a summary page, `json` and `matrix`."""

from goldmar.report.affected import json, markdown, matrix, terminal  # noqa: F401  its formats
