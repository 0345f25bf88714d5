"""A run of check or record. `terminal` is for people; each of the others renders one of `files.FILES`."""

from goldmar.report.run import json, junit, markdown  # noqa: F401  each adds its file to FILES
