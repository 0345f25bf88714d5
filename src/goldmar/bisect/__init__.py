"""Which of many changes makes something fail: delta debugging, with a test that the caller brings."""

from goldmar.bisect.ddmin import Culprit, Outcome, Search
from goldmar.bisect.order import by_suspicion

__all__ = ["Culprit", "Outcome", "Search", "by_suspicion"]
