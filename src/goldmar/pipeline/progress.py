"""Where a command reports its progress."""

from typing import Protocol

from goldmar.records import Prediction


class Progress(Protocol):
    """Receives the progress of a command. The command line shows it; tests collect it."""

    def step(self, text: str) -> None:
        """A new step has begun."""

    def asking(self, model: str, drawings: int) -> None:
        """This number of drawings is about to be sent to the model."""

    def answered(self, model: str, prediction: Prediction) -> None:
        """One drawing was answered."""

    def note(self, text: str) -> None:
        """Something the user should read even if the command succeeds."""
