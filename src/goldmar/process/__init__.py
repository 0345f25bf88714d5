"""Child processes: start one in a session of its own, read its output, explain its end, end all that it has started."""

from goldmar.process.child import Process
from goldmar.process.exits import Exit
from goldmar.process.keeper import Keeper
from goldmar.process.run import Completed, run
from goldmar.process.signals import held_up

__all__ = ["Completed", "Exit", "Keeper", "Process", "held_up", "run"]
