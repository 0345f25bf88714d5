"""Many requests at once over kept-alive connections: the hot path of goldmar, and what its benchmark measures.

An aiohttp session lives on an event loop in a thread of its own; replies cross a queue to the calling thread. So a slow
consumer (a terminal, a disk) does not stretch the latencies of requests in flight, a signal handler may raise whatever
it likes in the calling thread, and the function works where that thread already runs an event loop (a notebook).
"""

import asyncio
import errno
import io
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.payload import BytesIOPayload

from goldmar.errors import GoldenError
from goldmar.predict.answers import overloaded, retry_after_s
from goldmar.predict.faults import AnswerTooLargeError, mapped, refused
from goldmar.predict.network import proxy_for, ssl_for, user_agent
from goldmar.predict.retries import Retries
from goldmar.records import Answer, Endpoint

__all__ = ["BACKLOG", "BREATH_S", "MAX_ANSWER_BYTES", "Reply", "Request", "exchange"]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer longer than this ends the run: nobody reads such a golden, and a mad server must not fill the memory."""

_READ_IN_LOOP = 256 * 1024  # bytes; reading more would stall the other clients, so a thread does it
_WRITE_AT_ONCE = 64 * 1024  # bytes; more is written in pieces, so that an early refusal (413) is seen
BACKLOG = 64  # replies waiting for the calling thread before the clients pause
BREATH_S = 0.001


@dataclass(frozen=True, slots=True)
class Request:
    """One request. The body is the content of `path`, read only when its turn comes; no body without a path."""

    method: str
    url: str
    path: Path | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to request number `index`; `latency_s` is that of the last attempt alone."""

    index: int
    answer: Answer
    latency_s: float
    attempts: int


def exchange(
    requests: Sequence[Request],
    endpoint: Endpoint,
    *,
    clients: int,
    retries: Retries,
    model: str | None = None,
) -> Generator[Reply, None, None]:
    """Send every request, `clients` at a time, and yield replies as they come.

    Closing the generator (or raising into it) cancels what is in flight.

    Args:
        requests: sent in this order.
        endpoint: headers, TLS and time-out; its URL is only named in errors.
        model: named in errors.

    Raises:
        UnreachableError: refused through every retry, reset, cut short, no answer in time, TLS trouble, garbage.
        UsageError: the URL or a header is malformed.
        ConfigError: the CA bundle cannot be read.
        GoldenError: a file to send cannot be read.
    """
    replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
    pool = _Pool(requests, endpoint, clients, retries, model, replies)
    pool.start()
    try:
        left = len(requests)
        while left:
            item = replies.get()
            while True:
                if isinstance(item, BaseException):
                    raise item
                left -= 1
                yield item
                try:
                    item = replies.get_nowait()
                except Empty:
                    break
            # Each wake-up costs both threads the interpreter lock: take replies in handfuls, not one by one.
            if left:
                time.sleep(BREATH_S)
    finally:
        pool.stop()


class _Pool:
    """The thread with the event loop."""

    def __init__(
        self,
        requests: Sequence[Request],
        endpoint: Endpoint,
        clients: int,
        retries: Retries,
        model: str | None,
        replies: SimpleQueue[Reply | BaseException],
    ) -> None:
        self._requests = requests
        self._endpoint = endpoint
        self._clients = clients
        self._retries = retries
        self._model = model
        self._replies = replies
        # In the calling thread, so that a bad CA bundle is its exception.
        self._ssl = ssl_for(endpoint)
        self._proxy = proxy_for(endpoint.url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._thread = Thread(target=self._run, name="goldmar-exchange", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it closed in between
                loop.call_soon_threadsafe(task.cancel)
        # Cancelling takes milliseconds; a file system that hangs must not hold a Ctrl-C up, and the thread is a daemon.
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._replies.put(error)

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopped:
            return
        timeout = self._endpoint.timeout_s
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._clients, ssl=self._ssl),
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 10.0)),
            headers={"User-Agent": user_agent(), "Accept-Encoding": "identity", **self._endpoint.headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_reuse_trace()],
        ) as session:
            numbered = iter(enumerate(self._requests))
            clients = [asyncio.create_task(self._client(session, numbered)) for _ in range(self._clients)]
            try:
                await asyncio.gather(*clients)
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self, session: aiohttp.ClientSession, numbered: Iterator[tuple[int, Request]]) -> None:
        for index, request in numbered:
            while self._replies.qsize() > BACKLOG:
                await asyncio.sleep(BREATH_S)
            self._replies.put(await self._persist(session, index, request))

    async def _persist(self, session: aiohttp.ClientSession, index: int, request: Request) -> Reply:
        """Ask until there is an answer worth keeping, or an error that asking again will not mend."""
        body = await _content(request)
        attempts = retried = stale = 0
        while True:
            attempts += 1
            connection = SimpleNamespace(reused=False, answered=False)
            started = time.perf_counter()
            try:
                answer = await self._ask(session, request, body, connection)
            except (aiohttp.ClientError, OSError, ValueError, AnswerTooLargeError) as error:
                # A server may close an idle connection just as a request is written to it: it never saw the drawing.
                # That shows as an end before the first byte of an answer, on a connection that served before. A
                # prediction changes nothing on the server, so asking once more is safe even if it did see it.
                # Each such end takes one old connection out of the pool, hence the bound.
                if connection.reused and not connection.answered and _closed(error) and stale < self._clients:
                    stale += 1
                    continue
                if not refused(error) or retried >= self._retries.limit:
                    raise mapped(error, self._endpoint, request.url, self._model, attempts) from error
                after = None
            else:
                latency_s = time.perf_counter() - started
                if not overloaded(answer) or retried >= self._retries.limit:
                    return Reply(index, answer, latency_s, attempts)
                after = retry_after_s(answer.headers)
            retried += 1
            await asyncio.sleep(self._retries.pause_s(retried, after))

    async def _ask(
        self, session: aiohttp.ClientSession, request: Request, body: bytes | None, connection: SimpleNamespace
    ) -> Answer:
        data: Any = body
        if body is not None and len(body) > _WRITE_AT_ONCE:
            data = BytesIOPayload(io.BytesIO(body))
        async with session.request(
            request.method,
            request.url,
            data=data,
            headers={"Content-Type": request.content_type} if request.content_type else None,
            allow_redirects=False,
            proxy=self._proxy,
            trace_request_ctx=connection,
        ) as response:
            connection.answered = True
            parts, size = [], 0
            while part := await response.content.readany():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise AnswerTooLargeError(MAX_ANSWER_BYTES)
                parts.append(part)
            return Answer(response.status, response.content_type, b"".join(parts), response.headers)


async def _content(request: Request) -> bytes | None:
    if request.path is None:
        return None
    try:
        if request.path.stat().st_size <= _READ_IN_LOOP:
            return request.path.read_bytes()
        return await asyncio.to_thread(request.path.read_bytes)
    except OSError as error:
        msg = f"The drawing {request.path} cannot be read: {error.strerror or error}."
        raise GoldenError(msg, fix="Put the file back, or take its rows out of the golden.") from error


def _reuse_trace() -> aiohttp.TraceConfig:
    async def reused(_session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    return trace


def _closed(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # With the beginning of an answer, aiohttp puts that in place of its usual sentence.
        return isinstance(error.message, str)
    return isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
