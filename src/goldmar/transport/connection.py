"""One kept-alive HTTP connection: the hot path of goldmar, and what its benchmark measures.

libcurl, through pycurl, is what earned the place: asking TorchServe's /ping costs it a third of aiohttp's processor
time, and `python -m benchmarks.client` shows the rates of all candidates side by side. It waits outside the
interpreter lock, so its latencies are those of the server even while another thread parses an answer.

When a server closes an idle connection just as a request is written to it, libcurl asks again on a fresh one. It does
so only where a used connection ended before the first byte of an answer; a prediction changes nothing on the server,
so that is safe even if the drawing had been seen. Nothing else is sent twice here.

HTTP/1.1 binds an answer to its request by nothing but their order. A server, or a proxy before it, that answers one
request twice would so shift every later answer on that connection to the drawing before. libcurl does not notice:
bytes that lie there before a request is sent are read as its answer. What binds them here:

- Each request has an X-Request-Id. An answer that repeats it is the answer to it; one that repeats that of another
  request ends the run.
- TorchServe gives each request a name of its own when it arrives and puts it, once, into x-request-id of the answer
  (NettyUtils.sendHttpResponse of 0.12.0 takes the session away as it does so). A name that was there before, or a 2xx
  without one after answers that had one, ends the run: both are second answers.
- An answer that is bound in neither way is taken from a new connection alone, where nothing but the request's own
  answer can come first. Such a server gets a connection for each request.
- Bytes that lie on a connection before a request is sent, or came together with an answer and follow it, end the run.
"""

import fcntl
import io
import itertools
import secrets
import termios
from collections.abc import Mapping
from threading import Event
from typing import Final

import pycurl

from goldmar.errors import UnreachableError, UsageError
from goldmar.records import Answer
from goldmar.seam import Message, Stopped
from goldmar.text import keep_secret, keep_secret_headers, userinfo_of
from goldmar.transport.endpoint import Endpoint
from goldmar.transport.faults import Fault, fault
from goldmar.transport.network import authorities, proxy_for, shown, user_agent

__all__ = ["MAX_ANSWER_BYTES", "MAX_HEAD_BYTES", "TORCHSERVE_EXPIRES", "Connection", "Names"]

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A longer answer ends the run: nobody reads such a golden, and a mad server must not fill the memory."""

MAX_HEAD_BYTES: Final = 256 * 1024
"""Of the lines before and behind a body, interim answers included: real ones have a few hundred bytes."""

TORCHSERVE_EXPIRES: Final = "Thu, 01 Jan 1970 00:00:00 UTC"
"""In every answer of TorchServe's front end, and no HTTP date, which would end with GMT."""

_CONNECT_S = 10.0
_ID = "x-request-id"
_NOTHING = bytes(4)
_NEVER = Event()
_REMEMBERED = 100_000


class Names:
    """The names that requests were given and answers had, shared by the connections of a run.

    A second answer may come over another connection than the first, where a proxy is in between.
    """

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._count = itertools.count()
        self._seen: dict[str, object] = {}
        self.theirs = False  # the server names its answers by itself

    def new(self) -> str:
        return f"goldmar-{self._prefix}-{next(self._count)}"

    def is_ours(self, name: str) -> bool:
        return name.startswith(f"goldmar-{self._prefix}-")

    def seen(self, name: str) -> bool:
        """Whether the server has named an answer so before; from now on it has."""
        self.theirs = True
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        mine = object()
        return self._seen.setdefault(name, mine) is not mine


class Connection:
    """Sends one request at a time and keeps the connection open in between, where answers are bound to their requests.

    Belongs to one thread.

    Args:
        endpoint: URL, headers, TLS and time-out. Its proxy is the environment's, but never for this machine itself.
        names: those of the run.
        max_bytes: of an answer; a longer one is broken off. Its head may have MAX_HEAD_BYTES.

    Raises:
        ConfigError: the CA bundle is missing.
        UsageError: a header holds a line break or another control character.
    """

    def __init__(self, endpoint: Endpoint, names: Names | None = None, *, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._endpoint = endpoint
        self._max_bytes = max_bytes
        self._names = names or Names()
        # Bytes of TLS say nothing of what is in them: a closing, a ticket for the next session.
        self._plain = endpoint.url.lower().startswith("http:")
        self._socket = -1
        self._waiting = bytearray(_NOTHING)  # the count of bytes that lie there, as the kernel writes it
        self._bound = True
        keep_secret_headers(endpoint.headers)
        self._headers = _header_lines(endpoint.headers, endpoint.url)
        self._base = endpoint.url.rstrip("/")
        self._shown_base = shown(self._base)
        self._named_by_user = any(name.lower() == _ID for name in endpoint.headers)
        self._proxy = proxy_for(endpoint.url)
        keep_secret(userinfo_of(self._proxy or "") or "")
        self._curl = curl = pycurl.Curl()
        # A schema like file:// must not read this machine's disk.
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.NOSIGNAL, 1)  # time-outs without SIGALRM, which belongs to the main thread
        curl.setopt(pycurl.TIMEOUT_MS, max(1, round(1000 * endpoint.timeout_s)))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(1000 * min(endpoint.timeout_s, _CONNECT_S))))
        curl.setopt(pycurl.MAXFILESIZE_LARGE, max_bytes)
        curl.setopt(pycurl.USERAGENT, user_agent())
        # "" keeps libcurl from reading the environment by rules of its own
        curl.setopt(pycurl.PROXY, self._proxy or "")
        curl.setopt(pycurl.NOPROGRESS, 0)
        # libcurl asks at least once a second. Without `self` in it: no circle keeps a connection from being closed.
        self._stop = stop = [_NEVER]
        curl.setopt(pycurl.XFERINFOFUNCTION, lambda *_: stop[0].is_set())
        self._trust(endpoint)

    def _trust(self, endpoint: Endpoint) -> None:
        if endpoint.verify is False:
            self._curl.setopt(pycurl.SSL_VERIFYPEER, 0)
            self._curl.setopt(pycurl.SSL_VERIFYHOST, 0)
            return
        if endpoint.url.lower().startswith("https:"):
            bundle = authorities(endpoint)
            self._curl.setopt(pycurl.CAPATH if bundle.is_dir() else pycurl.CAINFO, str(bundle))

    def ask(self, request: Message, *, model: str | None = None, attempt: int = 1, stop: Event = _NEVER) -> Answer:
        """Send the request and read the whole answer, whatever its status. Redirects are not followed.

        Args:
            model, attempt: the model, and which time it is asked from 1 on; named in errors.
            stop: breaks the request off within a second once it is set.

        Returns:
            The answer, with its latency by libcurl's clock.

        Raises:
            RefusedError: nothing listens there; not one byte was sent.
            UnreachableError: reset, cut short, no answer in time, TLS trouble, garbage, longer than MAX_ANSWER_BYTES,
                or it cannot be told which request is answered.
            UsageError: the URL is malformed.
            Stopped: `stop` was set.
        """
        self._stop[0], self._model, self._attempt = stop, model, attempt
        self._refuse_surplus(request)
        name = self._prepare(request)
        answer, lines = self._performed(request)
        bound = self._is_bound(name, answer, request)
        if not bound and not self._curl.getinfo(pycurl.NUM_CONNECTS):
            # It may be anybody's; the first answer on a new connection cannot.
            self._bound = False
            self._curl.setopt(pycurl.FRESH_CONNECT, 1)
            answer, lines = self._performed(request)
            bound = self._is_bound(name, answer, request)
        self._socket = self._curl.getinfo(pycurl.LASTSOCKET)
        if self._socket == -1 and _should_be_open(lines, answer) and self._all_sent(request):
            raise self._second_answer("bytes followed the answer that no request was sent for", request)
        if bound is not self._bound:
            self._bound = bound
            self._curl.setopt(pycurl.FRESH_CONNECT, not bound)
        return answer

    def _performed(self, request: Message) -> tuple[Answer, list[bytes]]:
        """The answer that came first, and the lines of its header as they came."""
        curl, body, lines, left = self._curl, io.BytesIO(), list[bytes](), MAX_HEAD_BYTES

        def take(line: bytes) -> int | None:
            nonlocal left
            left -= len(line)
            if left < 0:
                return -1  # not the length of the line: libcurl breaks off
            lines.append(line)
            return None

        curl.setopt(pycurl.WRITEDATA, body)
        curl.setopt(pycurl.HEADERFUNCTION, take)
        try:
            curl.perform()
        except pycurl.error as error:
            raise self._failed(error, request) from None
        headers = _headers_of(lines)
        status, latency_s = curl.getinfo(pycurl.RESPONSE_CODE), float(curl.getinfo(pycurl.TOTAL_TIME))
        content_type = headers.get("content-type", "")
        return Answer(status, content_type, body.getvalue(), headers, latency_s, self._shown(request)), lines

    def _is_bound(self, name: str, answer: Answer, request: Message) -> bool:
        """Whether the answer says that it is the one to the request of that name.

        Raises UnreachableError where it says that it is not, or does not say what this server's answers do say.
        """
        said = answer.headers.get(_ID, "")
        if said and said == name:
            return True
        if said and self._names.is_ours(said):
            raise self._second_answer("an answer came to another request than the one that was sent", request)
        if said:
            if self._names.seen(said):
                raise self._second_answer(f"the answer {said[:80]!r} came a second time", request)
            return answer.headers.get("expires") == TORCHSERVE_EXPIRES
        reused = not self._curl.getinfo(pycurl.NUM_CONNECTS)
        if (reused or self._names.theirs) and 200 <= answer.status < 300:
            raise self._second_answer("an answer came without the name that those before it had", request)
        return False

    def _all_sent(self, request: Message) -> bool:
        return int(self._curl.getinfo(pycurl.SIZE_UPLOAD_T)) >= len(request.body or b"")

    def _refuse_surplus(self, request: Message) -> None:
        if self._plain and self._socket != -1:
            try:
                fcntl.ioctl(self._socket, termios.FIONREAD, self._waiting)
            except OSError:
                return
            if self._waiting != _NOTHING:
                raise self._second_answer("bytes came that no request was sent for", request)

    def _second_answer(self, how: str, request: Message) -> UnreachableError:
        self._curl.setopt(pycurl.FRESH_CONNECT, 1)
        self._bound, self._socket = False, -1
        url = self._shown(request)
        named = f"model {self._model!r} at {url}" if self._model else url
        return UnreachableError(
            f"The server answers more than it is asked: {how}, from {named}. "
            "Which answer belongs to which drawing would be a guess, so none of this run counts.",
            fix="Ask the server itself, without what stands before it (a proxy, a cache), and look at its log.",
            model=self._model,
            url=url,
        )

    def _shown(self, request: Message) -> str:
        return self._shown_base + request.path

    def close(self) -> None:
        self._curl.close()

    def _prepare(self, request: Message) -> str:
        """Returns the name of the request; empty where the user has a header of that name."""
        curl = self._curl
        curl.setopt(pycurl.URL, self._base + request.path)
        name = "" if self._named_by_user else self._names.new()
        lines = [*self._headers, f"X-Request-Id: {name}"] if name else self._headers
        if request.headers:
            lines = [*lines, *_header_lines(request.headers, self._base)]
        curl.setopt(pycurl.HTTPGET, 1)
        if request.body is not None:
            curl.setopt(pycurl.POSTFIELDS, request.body)
            # Without an Expect header: a server that does not know it costs a second of waiting for each large drawing.
            lines = [*lines, f"Content-Type: {request.content_type}", "Expect:"]
        curl.setopt(pycurl.HTTPHEADER, lines)
        return name

    def _failed(self, error: pycurl.error, request: Message) -> Exception:
        code, text = int(error.args[0]), str(error.args[1]) if len(error.args) > 1 else ""
        if code == pycurl.E_ABORTED_BY_CALLBACK:
            return Stopped()
        curl = self._curl
        return fault(
            Fault(
                code=code,
                text=text,
                os_errno=int(curl.getinfo(pycurl.OS_ERRNO)),
                connected=float(curl.getinfo(pycurl.PRETRANSFER_TIME)) > 0,
                timeout_s=self._endpoint.timeout_s,
                proxy=self._proxy and shown(self._proxy),
                url=self._shown(request),
                model=self._model,
                attempt=self._attempt,
                max_bytes=self._max_bytes,
                edge=self._endpoint.edge,
            )
        )


def _header_lines(headers: Mapping[str, str], url: str) -> list[str]:
    lines = []
    for name, value in headers.items():
        # The value may be a token: it is not shown.
        if not (name.isascii() and name.isprintable() and value.isprintable()) or set(name) & set(
            ' :"(),/;<=>?@[\\]{}'
        ):
            msg = f"The header {name!r} has a line break or another character that no HTTP header can have."
            raise UsageError(
                msg, fix="See that the file or variable with the token holds nothing else.", url=shown(url)
            )
        # libcurl's way of writing an empty header; with a colon it would take the header out.
        lines.append(f"{name}: {value}" if value else f"{name};")
    return lines


def _should_be_open(lines: list[bytes], answer: Answer) -> bool:
    """Whether libcurl had no reason to close the connection but bytes that follow the answer.

    It keeps them from the next request, and says nothing. Others: an answer that ends with the connection, or comes
    before the whole drawing was sent.
    """
    headers = answer.headers
    return (
        200 <= answer.status < 300
        and "content-length" in headers
        and "close" not in (headers.get("connection", "") + headers.get("proxy-connection", "")).lower()
        and next(line for line in reversed(lines) if line.startswith(b"HTTP/")).startswith(b"HTTP/1.1")
    )


def _headers_of(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        if line.startswith(b"HTTP/"):
            headers.clear()  # those of an interim answer such as 100 Continue, or of a proxy
            continue
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
    return headers
