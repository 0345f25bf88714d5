"""A section for the summary page of a CI run."""

from goldmar.records import Selection
from goldmar.report.affected.terminal import lines
from goldmar.text import clean


def render(found: Selection) -> str:
    text = "\n".join(map(clean, lines(found))).replace("```", "` ` `")
    return f"## goldmar affected\n\n```text\n{text}\n```\n"
