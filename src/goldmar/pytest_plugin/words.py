"""How the plugin spells options and shows errors."""

from goldmar.errors import GoldmarError
from goldmar.records import Edge
from goldmar.text import clean_lines

__all__ = ["EDGE", "words"]

EDGE = Edge("--goldmar-")


def words(error: GoldmarError) -> str:
    """An error as pytest shows it."""
    parts = [error.what, error.detail or "", f"fix: {error.fix}" if error.fix else ""]
    return clean_lines("\n".join(part for part in parts if part))
