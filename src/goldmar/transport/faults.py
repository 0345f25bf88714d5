"""What the network can do to a request, as errors of goldmar: each kind of libcurl has its words, its model and URL.

A fix names an option by its field in Reach, in braces; the edge says how it is spelt.
"""

import errno
from dataclasses import dataclass

import pycurl

from goldmar.errors import ConfigError, GoldmarError, RefusedError, UnreachableError, UsageError
from goldmar.records import COMMAND_LINE, Edge

__all__ = ["NO_BUNDLE", "Fault", "fault"]

NO_BUNDLE = "{ca_bundle} with the server's CA certificate as PEM."
_ALIVE = "See whether the server still runs and what its log says; then run the command again."
_REACH = "See that host and port are right and that this machine can reach them."
_TRUST = "{ca_bundle} with the CA that signed the server's certificate; and ask for the host name that it has."
_TLS = "See that the server speaks TLS on this port (https:// or http://?)."
_PORT = "See that the URL is that of the server's inference port."
_SLOW = "See that the model has READY workers; if it is only slow: {timeout} SECONDS, or timeout_s in [tool.goldmar]."
_URL = "Write the URL as http://host:port or https://host:port."
_HANDLER = "See that the URL is that of a model and that its handler returns what it should."


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that came to nothing: libcurl's code and text, and what is needed to put it in words.

    `connected` tells whether the connection stood, with TLS if any, so that the request itself was under way.
    `proxy` and `url` may be printed: no password is in them.
    """

    code: int
    text: str
    os_errno: int
    connected: bool
    timeout_s: float
    proxy: str | None
    url: str
    model: str | None
    attempt: int = 1
    max_bytes: int = 64 * 2**20
    edge: Edge = COMMAND_LINE


_TOO_LARGE = 100  # CURLE_TOO_LARGE, which not every pycurl has a name for

_UNREACHABLE = {
    pycurl.E_COULDNT_RESOLVE_HOST: (
        "The host name is not known",
        "See that the URL is spelled right and that this machine can look the name up.",
    ),
    pycurl.E_COULDNT_RESOLVE_PROXY: (
        "The name of the proxy is not known",
        "See HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in the environment.",
    ),
    pycurl.E_COULDNT_CONNECT: ("No connection", _REACH),
    pycurl.E_PEER_FAILED_VERIFICATION: ("The server's certificate is not trusted", _TRUST),
    pycurl.E_SSL_ISSUER_ERROR: ("The server's certificate is not trusted", _TRUST),
    pycurl.E_SSL_CONNECT_ERROR: ("TLS could not be agreed on", _TLS),
    pycurl.E_SSL_CIPHER: ("TLS could not be agreed on", _TLS),
    pycurl.E_USE_SSL_FAILED: ("TLS could not be agreed on", _TLS),
    pycurl.E_PARTIAL_FILE: ("The answer was cut short", _ALIVE),
    pycurl.E_GOT_NOTHING: ("The server closed the connection without an answer", _ALIVE),
    pycurl.E_RECV_ERROR: ("The connection broke before the whole answer had come", _ALIVE),
    pycurl.E_SEND_ERROR: ("The connection broke while the drawing was sent", _ALIVE),
    pycurl.E_SEND_FAIL_REWIND: ("The connection broke while the drawing was sent", _ALIVE),
    pycurl.E_FTP_WEIRD_SERVER_REPLY: (  # of any protocol; the name is from older days
        "The answer is not HTTP",
        _PORT,
    ),
    pycurl.E_UNSUPPORTED_PROTOCOL: ("The answer is not HTTP", _PORT),
    pycurl.E_BAD_CONTENT_ENCODING: ("The answer is not encoded as it says", _ALIVE),
    pycurl.E_WRITE_ERROR: ("The head of the answer has no end", _PORT),
    _TOO_LARGE: ("The head of the answer has no end", _PORT),
}


def fault(fault: Fault) -> GoldmarError:
    """The error of goldmar for whatever libcurl met.

    Returns:
        UsageError: the URL is malformed or of another scheme than http and https.
        ConfigError: the CA bundle is no such thing.
        RefusedError: the connection was refused.
        UnreachableError: everything else, codes that no libcurl has yet among them.
    """
    kind, what, fix = _words(fault)
    if fix is _ALIVE and fault.url.startswith("http://"):
        fix = f"{_ALIVE} If the server speaks TLS on this port, the URL begins with https://."
    named = f"model {fault.model!r} at {fault.url}" if fault.model else fault.url
    named += f" through the proxy {fault.proxy}" if fault.proxy else ""
    tried = f" (asked {fault.attempt} times)" if fault.attempt > 1 else ""
    # `detail` is left to what the server's own log may say.
    curl = f" (libcurl {fault.code}{': ' if fault.text else ''}{fault.text})"
    return kind(f"{what}: {named}{tried}{curl}.", fix=fault.edge.words(fix), model=fault.model, url=fault.url)


def _words(fault: Fault) -> tuple[type[GoldmarError], str, str]:
    code = fault.code
    before = not fault.connected
    if code == pycurl.E_URL_MALFORMAT or (code == pycurl.E_UNSUPPORTED_PROTOCOL and not fault.url.startswith("http")):
        return UsageError, "The URL is malformed", _URL
    if code == pycurl.E_SSL_CACERT_BADFILE:
        return ConfigError, "The CA bundle cannot be read", NO_BUNDLE
    if code == pycurl.E_COULDNT_CONNECT and fault.os_errno == errno.ECONNREFUSED:
        what = "Nothing listens there, the connection was refused"
        return RefusedError, what, "Start the server, or see that host and port are right."
    if code == pycurl.E_OPERATION_TIMEDOUT and before:
        fix = "See that host and port are right and that no firewall is in between."
        return UnreachableError, "No connection within the time-out", fix
    if code == pycurl.E_OPERATION_TIMEDOUT:
        what = f"No whole answer within {fault.timeout_s:g} s"
        return UnreachableError, what, _SLOW
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return UnreachableError, f"The answer is longer than {fault.max_bytes // 2**20} MiB", _HANDLER
    what, fix = _UNREACHABLE.get(code, ("The request failed", _ALIVE))
    return UnreachableError, what, fix
