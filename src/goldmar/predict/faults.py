"""What the network can do to a request, as errors of goldmar: each kind of aiohttp has its words, its model and URL."""

import errno

import aiohttp

from goldmar.errors import GoldmarError, UnreachableError, UsageError
from goldmar.predict.network import shown
from goldmar.records import Endpoint

__all__ = ["AnswerTooLargeError", "mapped", "refused"]


class AnswerTooLargeError(Exception):
    """The body passed the bound; `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"longer than {limit // 2**20} MiB")
        self.limit = limit


def refused(error: BaseException) -> bool:
    """Whether nothing listens there (yet), so that no byte of the request was sent."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.errno == errno.ECONNREFUSED
    return isinstance(error, ConnectionRefusedError)


def mapped(error: BaseException, endpoint: Endpoint, url: str, model: str | None, attempts: int = 1) -> GoldmarError:
    """The error of goldmar for whatever aiohttp, the operating system or TLS raised while asking `url`.

    Returns:
        UsageError where the URL or a header is malformed, UnreachableError for everything else.
    """
    what, fix = _words(error, endpoint)
    kind = (
        UsageError if isinstance(error, (aiohttp.InvalidURL, ValueError)) and not _network(error) else UnreachableError
    )
    url = shown(url)
    named = f"model {model!r} at {url}" if model else url
    tried = f" (asked {attempts} times)" if attempts > 1 else ""
    return kind(f"{what}: {named}{tried}.", fix=fix, model=model, url=url, detail=_detail(error))


def _network(error: BaseException) -> bool:
    # ssl.CertificateError is an OSError and a ValueError both.
    return isinstance(error, OSError)


def _words(error: BaseException, endpoint: Endpoint) -> tuple[str, str]:
    """What happened, as the beginning of a sentence, and what mends it; from the special to the general."""
    alive = "See whether the server still runs and what its log says; then run the command again."
    certificates = (
        "Name the CA that signed the server's certificate, and ask for the host name that the certificate has."
    )
    if isinstance(error, AnswerTooLargeError):
        return (
            f"The answer is {error}",
            "See that the URL is that of a model and that its handler returns what it should.",
        )
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)):
        return "The server's certificate is not trusted", certificates
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS could not be agreed on", "See that the server speaks TLS on this port (https:// or http://?)."
    if isinstance(error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)):
        return "The proxy cannot be used", "See HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "The host name is not known", "See that the URL is spelled right and that this machine can look it up."
    if isinstance(error, (aiohttp.ConnectionTimeoutError,)):
        return (
            "No connection within the time-out",
            "See that host and port are right and that no firewall is in between.",
        )
    if isinstance(error, TimeoutError):
        return (
            f"No whole answer within {endpoint.timeout_s:g} s",
            "See that the model has READY workers; if it is only slow, raise `timeout_s`.",
        )
    if refused(error):
        return (
            "Nothing listens there, the connection was refused",
            "Start the server, or see that host and port are right.",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return "No connection", "See that host and port are right and that this machine can reach them."
    if isinstance(error, aiohttp.ClientPayloadError):
        return "The answer was cut short or garbled", alive
    if isinstance(error, aiohttp.ClientResponseError):
        return "The answer is not HTTP", "See that the URL is that of the server's inference port."
    if isinstance(error, aiohttp.InvalidURL):
        return "The URL is malformed", "Write it as http://host:port or https://host:port."
    if isinstance(error, (aiohttp.ClientConnectionError, OSError)):
        return "The connection broke before the whole answer had come", alive
    if isinstance(error, ValueError):
        return "The request cannot be built", "See that URL and headers have no line break or control character."
    return "The request failed", alive


def _detail(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
