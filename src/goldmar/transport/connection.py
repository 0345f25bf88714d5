"""One kept-alive HTTP connection: the hot path of goldmar, and what its benchmark measures.

libcurl, through pycurl, is what earned the place: asking TorchServe's /ping costs it a third of aiohttp's processor
time, and `python -m benchmarks.client` shows the rates of all candidates side by side. It waits outside the
interpreter lock, so its latencies are those of the server even while another thread parses an answer.

When a server closes an idle connection just as a request is written to it, libcurl asks again on a fresh one. It does
so only where a used connection ended before the first byte of an answer; a prediction changes nothing on the server,
so that is safe even if the drawing had been seen. Nothing else is sent twice here.
"""

import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pycurl

from goldmar.errors import GoldenError, UsageError
from goldmar.records import Answer, Endpoint
from goldmar.text import keep_secret, keep_secret_headers, userinfo_of
from goldmar.transport.faults import Fault, fault
from goldmar.transport.network import authorities, proxy_for, shown, user_agent

__all__ = ["MAX_ANSWER_BYTES", "MAX_HEAD_BYTES", "Connection", "Request", "Stopped"]

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A longer answer ends the run: nobody reads such a golden, and a mad server must not fill the memory."""

MAX_HEAD_BYTES: Final = 256 * 1024
"""Of the lines before and behind a body, interim answers included: real ones have a few hundred bytes."""

_CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """A POST of the content of `path`, read only when its turn comes; a GET where there is none.

    With `field` it is sent as a form: multipart/form-data with the file in the field of that name.
    """

    url: str
    path: Path | None = None
    content_type: str = ""
    field: str = ""


class Stopped(Exception):
    """The run ended while the request was in flight."""


class Connection:
    """Sends one request at a time and keeps the connection open in between. Belongs to one thread.

    Args:
        endpoint: headers, TLS and time-out. Its proxy is the environment's, but never for this machine itself.
        stopped: asked at least once a second while a request is in flight; True breaks the request off.
        model: named in errors.
        max_bytes: of an answer; a longer one is broken off. Its head may have MAX_HEAD_BYTES.

    Raises:
        ConfigError: the CA bundle is missing.
        UsageError: a header holds a line break or another control character.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stopped: Callable[[], bool],
        model: str | None = None,
        *,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._max_bytes = max_bytes
        keep_secret_headers(endpoint.headers)
        self._headers = _header_lines(endpoint.headers, endpoint.url)
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
        curl.setopt(
            pycurl.PROXY, self._proxy or ""
        )  # "" keeps libcurl from reading the environment by rules of its own
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, lambda *_: stopped())
        self._trust(endpoint)

    def _trust(self, endpoint: Endpoint) -> None:
        if endpoint.verify is False:
            self._curl.setopt(pycurl.SSL_VERIFYPEER, 0)
            self._curl.setopt(pycurl.SSL_VERIFYHOST, 0)
            return
        if endpoint.url.lower().startswith("https:"):
            bundle = authorities(endpoint)
            self._curl.setopt(pycurl.CAPATH if bundle.is_dir() else pycurl.CAINFO, str(bundle))

    def ask(self, request: Request, attempt: int = 1) -> tuple[Answer, float]:
        """Send the request and read the whole answer, whatever its status. Redirects are not followed.

        Args:
            attempt: which one this is, from 1; named in errors.

        Returns:
            The answer, and the seconds from asking to its last byte, by libcurl's clock.

        Raises:
            RefusedError: nothing listens there; not one byte was sent.
            UnreachableError: reset, cut short, no answer in time, TLS trouble, garbage, longer than MAX_ANSWER_BYTES.
            UsageError: the URL is malformed.
            GoldenError: the file to send cannot be read.
            Stopped: `stopped` said so.
        """
        curl, body, lines, left = self._curl, io.BytesIO(), list[bytes](), MAX_HEAD_BYTES

        def take(line: bytes) -> int | None:
            nonlocal left
            left -= len(line)
            if left < 0:
                return -1  # not the length of the line: libcurl breaks off
            lines.append(line)
            return None

        self._prepare(request)
        curl.setopt(pycurl.WRITEDATA, body)
        curl.setopt(pycurl.HEADERFUNCTION, take)
        try:
            curl.perform()
        except pycurl.error as error:
            raise self._failed(error, request, attempt) from None
        headers = _headers_of(lines)
        answer = Answer(curl.getinfo(pycurl.RESPONSE_CODE), headers.get("content-type", ""), body.getvalue(), headers)
        return answer, float(curl.getinfo(pycurl.TOTAL_TIME))

    def close(self) -> None:
        self._curl.close()

    def _prepare(self, request: Request) -> None:
        curl = self._curl
        curl.setopt(pycurl.URL, request.url)
        lines = self._headers
        curl.setopt(pycurl.HTTPGET, 1)
        if request.path is not None:
            body, content_type = _body_of(request.path, request.content_type, request.field)
            curl.setopt(pycurl.POSTFIELDS, body)
            # Without an Expect header: a server that does not know it costs a second of waiting for each large drawing.
            lines = [*lines, f"Content-Type: {content_type}", "Expect:"]
        curl.setopt(pycurl.HTTPHEADER, lines)

    def _failed(self, error: pycurl.error, request: Request, attempt: int) -> Exception:
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
                url=shown(request.url),
                model=self._model,
                attempt=attempt,
                max_bytes=self._max_bytes,
            )
        )


def _body_of(path: Path, content_type: str, field: str = "") -> tuple[bytes, str]:
    """The body of a request and its content type: the file, or a form with the file in one field. Raises GoldenError.

    Format of the form: RFC 7578. The file's own name stays here: it may hold what no header can.
    """
    content = _content(path)
    if not field:
        return content, content_type
    boundary = secrets.token_hex(16)
    suffix = path.suffix if path.suffix[1:].isalnum() and path.suffix.isascii() else ""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="drawing{suffix}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"The drawing {path} cannot be read: {error.strerror or error}."
        raise GoldenError(msg, fix="Put the file back, or take its rows out of the golden.") from error


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
