"""Many questions at once, each asked again where that makes sense; the answers come to the calling thread as they come.

Threads ask, the calling thread takes. So a slow consumer (a terminal, a disk) does not stretch the latency of requests
in flight, and a signal handler may raise whatever it likes in the calling thread: it waits in nothing but a queue.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread

from goldmar.errors import GoldmarError, RefusedError
from goldmar.predict.retries import Retries, retry_after_s
from goldmar.records import Answer, Request
from goldmar.seam import Server, Stopped

__all__ = ["Make", "Reply", "asked"]

Make = Callable[[int, int, Event], Request]
"""Makes question number `index` for an attempt (from 1), and gives it the event that ends the run."""

_BACKLOG = 64  # answers waiting for the calling thread before the askers pause
_BREATH_S = 0.001


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to question number `index`, as it was asked the last time; its latency is that time's alone."""

    index: int
    request: Request
    answer: Answer


def asked(
    questions: int, make: Make, server: Server, *, clients: int, retries: Retries
) -> Generator[Reply, None, None]:
    """Ask questions 0, 1, ... in `clients` threads and yield each reply as it comes.

    Whatever the server raises is raised here at once. That, and closing the generator, stops all threads; those in the
    middle of a question notice within a second and are not waited for.
    """
    run = _Run(questions, make, server, retries)
    # Daemons: one that hangs must not hold a Ctrl-C up.
    for number in range(min(clients, questions)):
        Thread(target=run.client, name=f"goldmar-client-{number}", daemon=True).start()
    try:
        left = questions
        while left:
            item = run.replies.get()
            while True:
                if isinstance(item, BaseException):
                    raise item
                left -= 1
                yield item
                try:
                    item = run.replies.get_nowait()
                except Empty:
                    break
            # Each wake-up takes the interpreter lock from the askers: take replies in handfuls, not one by one.
            if left:
                time.sleep(_BREATH_S)
    finally:
        run.stopped.set()


class _Run:
    """What the threads of one run share."""

    def __init__(self, questions: int, make: Make, server: Server, retries: Retries) -> None:
        self.replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self.stopped = Event()
        self._questions: Iterator[int] = iter(range(questions))
        self._lock = Lock()
        self._make = make
        self._server = server
        self._retries = retries

    def client(self) -> None:
        try:
            while (index := self._next()) is not None:
                self.replies.put(self._persist(index))
        except Stopped:
            pass
        except BaseException as error:
            self.replies.put(error)

    def _next(self) -> int | None:
        while self.replies.qsize() >= _BACKLOG and not self.stopped.is_set():
            self.stopped.wait(_BREATH_S)
        if self.stopped.is_set():
            return None
        with self._lock:
            return next(self._questions, None)

    def _persist(self, index: int) -> Reply:
        """Ask until there is an answer worth keeping, or an error that asking again will not mend."""
        attempt = 0
        while True:
            attempt += 1
            last = attempt > self._retries.limit
            request = self._make(index, attempt, self.stopped)
            started = time.perf_counter()
            try:
                answer = self._server.ask(request)
            except GoldmarError as error:
                if last or not isinstance(error, RefusedError):
                    error.model = error.model or request.model
                    raise
                after_s = None
            else:
                if answer.latency_s is None:
                    answer = replace(answer, latency_s=time.perf_counter() - started)
                if last or not self._server.protocol.overloaded(answer):
                    return Reply(index, request, answer)
                after_s = retry_after_s(answer)
            if self.stopped.wait(self._retries.pause_s(attempt, after_s)):
                raise Stopped
