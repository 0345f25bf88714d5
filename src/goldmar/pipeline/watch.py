"""Who looks on while a job runs."""

from typing import Protocol

from goldmar.records import Prediction

__all__ = ["Watch"]


class Watch(Protocol):
    """Somebody who wants to see how a job gets on. The command line shows it; tests collect it."""

    def step(self, text: str) -> None:
        """A new thing has begun."""

    def asking(self, model: str, drawings: int) -> None:
        """So many drawings are about to be sent to this model."""

    def answered(self, model: str, prediction: Prediction) -> None:
        """One of them was answered."""

    def note(self, text: str) -> None:
        """Something the user should read even if the job goes well."""
