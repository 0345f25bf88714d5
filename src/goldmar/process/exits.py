"""How a process ended, in words: nothing is said of memory that the kernel has not counted."""

import signal
from dataclasses import dataclass

__all__ = ["Exit"]


@dataclass(frozen=True, slots=True)
class Exit:
    """A process that ended.

    Attributes:
        code: the exit code; negative for the signal that ended it.
        tail: its last lines.
        killer: who sent SIGKILL, as far as the kernel's counters tell; empty for every other end.
    """

    code: int
    tail: tuple[str, ...] = ()
    killer: str = ""

    @property
    def signal(self) -> str:
        """`SIGSEGV`, say; empty where it ended by itself."""
        if self.code >= 0:
            return ""
        try:
            return signal.Signals(-self.code).name
        except ValueError:  # a real-time signal
            return f"signal {-self.code}"

    @property
    def words(self) -> str:
        """What comes after its name: `ended with exit code 3`, `was ended by SIGSEGV`, `was killed (SIGKILL)`."""
        if self.code == -signal.SIGKILL:
            return "was killed (SIGKILL)"
        return f"was ended by {self.signal}" if self.signal else f"ended with exit code {self.code}"

    def __str__(self) -> str:
        return f"{self.words} {self.killer}".rstrip()
