"""Trust, proxies and names, by the rules that users know from requests: it is asked for them.

What goes over the network goes through libcurl, which keeps what requests cannot: a limit on time and size even for a
server that drips bytes, or sends a line without end.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from goldmar import __version__
from goldmar.errors import ConfigError
from goldmar.transport.endpoint import Endpoint
from goldmar.transport.faults import NO_BUNDLE

__all__ = ["authorities", "is_loopback", "proxy_for", "shown", "user_agent"]


def authorities(endpoint: Endpoint) -> Path:
    """The CA bundle, a PEM file or a folder of them, that the server's certificate is held against.

    As in requests: `verify` True means $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE or the bundle that requests brings.

    Raises:
        ConfigError: there is no such file.
    """
    verify = _environment(endpoint.url, endpoint.verify)["verify"]
    bundle = Path(verify if isinstance(verify, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH)
    if not bundle.exists():
        msg = f"The CA bundle {bundle} does not exist."
        raise ConfigError(msg, fix=endpoint.edge.words(NO_BUNDLE), url=shown(endpoint.url))
    return bundle


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL ($HTTPS_PROXY, $HTTP_PROXY, $ALL_PROXY, $NO_PROXY).

    Never one for this machine itself, which no proxy could reach. ~/.netrc is not read: the token comes from one place.
    """
    host = urlsplit(url).hostname
    if host is None or is_loopback(host):
        return None
    proxy: str | None = requests.utils.select_proxy(url, _environment(url)["proxies"])
    return proxy


def _environment(url: str, verify: bool | str | None = None) -> Mapping[str, Any]:
    with requests.Session() as session:
        return session.merge_environment_settings(url, {}, None, verify, None)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """The URL as it may be printed: without a user name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def user_agent() -> str:
    """`goldmar/<version>`, for the server's access log."""
    return f"goldmar/{__version__}"
