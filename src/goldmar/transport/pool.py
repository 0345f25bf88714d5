"""A connection for each thread and model that asks: kept alive for as long as the thread lives, where that is safe."""

from threading import local

from goldmar.records import Answer, Request
from goldmar.seam import Message
from goldmar.transport.connection import Connection, Names
from goldmar.transport.endpoint import Endpoint

__all__ = ["Pool"]


class Pool:
    """The hot path to one address. A thread's connections are closed as the thread ends.

    Models have connections of their own: behind one gateway they may be of servers that name their answers differently.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._names: dict[str, Names] = {}
        self._of_thread = local()

    def ask(self, request: Request, message: Message) -> Answer:
        """Send the message of this request. Raises as `Connection.ask` does."""
        mine: dict[str, Connection] = self._of_thread.__dict__
        connection = mine.get(request.model)
        if connection is None:
            names = self._names.setdefault(request.model, Names())
            connection = mine[request.model] = Connection(self._endpoint, names)
        return connection.ask(message, model=request.model, attempt=request.attempt, stop=request.stop)
