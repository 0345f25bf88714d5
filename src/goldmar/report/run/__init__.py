"""A run of check or record. `terminal` is for people; each of the others renders one of `files.FILES`."""

from goldmar.report.run import json, junit, markdown, terminal  # noqa: F401  a file of FILES each
