"""What is worth asking again, how often and after how long."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from goldmar.records import Answer

__all__ = ["Retries", "retry_after_s"]


@dataclass(frozen=True, slots=True)
class Retries:
    """Bounded exponential back-off with jitter.

    Only what leaves no doubt that the drawing was never looked at is asked again: a refused connection, a full queue
    (TorchServe's 503 "has no worker to serve inference request") and 429.

    Args:
        limit: how many times one drawing is asked again; 0 turns retries off.
        first_s: pause before the first retry, seconds; each further one doubles it.
        cap_s: longest pause of the back-off, seconds.
        retry_after_cap_s: longest pause taken from a Retry-After header, seconds.
    """

    limit: int = 5
    first_s: float = 0.2
    cap_s: float = 5.0
    retry_after_cap_s: float = 30.0

    def pause_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Seconds to wait after the failed attempt number `attempt` (from 1)."""
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), self.retry_after_cap_s)
        pause = min(self.first_s * 2.0 ** (attempt - 1), self.cap_s)
        # Clients that were turned away together must not come back together.
        return pause * random.uniform(0.5, 1.0)  # noqa: S311


def retry_after_s(answer: Answer) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None without one that can be read."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # of an offset from UTC without end
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
