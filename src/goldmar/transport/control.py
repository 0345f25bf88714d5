"""Single questions, asked so that Ctrl-C is heard while the answer is waited for."""

from queue import SimpleQueue
from threading import Event, Thread

from goldmar.errors import UnreachableError
from goldmar.records import Answer
from goldmar.seam import Message
from goldmar.transport.connection import Connection
from goldmar.transport.endpoint import Endpoint

__all__ = ["Control"]


class Control:
    """One question at a time over one kept-alive connection; `endpoint` has headers, TLS and the time for an answer.

    libcurl asks in a thread of its own. In the calling one a signal would be heard in a callback of libcurl's at best,
    which prints a traceback and swallows it.
    """

    def __init__(self, endpoint: Endpoint, *, max_bytes: int) -> None:
        self._endpoint = endpoint
        self._max_bytes = max_bytes
        self._stopped = Event()
        self._connection: Connection | None = None

    def ask(self, request: Message) -> Answer:
        """The whole answer, whatever its status. Raises what `Connection.ask` does, with a fix that asks by hand."""
        replies: SimpleQueue[Answer | BaseException] = SimpleQueue()

        def work() -> None:
            try:
                if self._connection is None:
                    self._connection = Connection(self._endpoint, max_bytes=self._max_bytes)
                replies.put(self._connection.ask(request, stop=self._stopped))
            except BaseException as error:
                replies.put(error)

        thread = Thread(target=work, name="goldmar-control", daemon=True)
        thread.start()
        try:
            reply = replies.get()
        except BaseException:
            self._stopped.set()  # the thread notices within a second, and nobody waits for it
            raise
        thread.join()
        if isinstance(reply, UnreachableError):
            reply.fix = f"{reply.fix} `curl -v {reply.url}` shows what answers there."
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def close(self) -> None:
        if self._connection is not None and not self._stopped.is_set():
            self._connection.close()
            self._connection = None
