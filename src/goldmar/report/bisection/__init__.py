"""What a bisection found. `findings` says it in sentences, which the formats share."""

from goldmar.report.bisection import json, markdown, terminal  # noqa: F401  its formats
