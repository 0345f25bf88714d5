"""How many examples a property is tried with."""

from hypothesis import settings

__all__ = ["times"]


def times(share: float) -> int:
    """For `@settings(max_examples=...)`: this share of what the profile has, so that `make fuzz` reaches every test."""
    return max(1, round(share * settings().max_examples))
