"""Which of many changes make a test fail: delta debugging."""

from goldmar.bisect.ddmin import Culprit, Outcome, Search
from goldmar.bisect.order import by_suspicion

__all__ = ["Culprit", "Outcome", "Search", "by_suspicion"]
