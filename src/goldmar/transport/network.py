"""Trust, proxies and names, by the rules that users know from requests."""

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from goldmar import __version__
from goldmar.errors import ConfigError
from goldmar.records import Endpoint

__all__ = ["authorities", "is_loopback", "proxy_for", "shown", "user_agent"]


def authorities(endpoint: Endpoint) -> Path:
    """The CA bundle, a PEM file or a folder of them, that the server's certificate is held against.

    As in requests: `verify` True means $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE or the bundle that requests brings.

    Raises:
        ConfigError: there is no such file.
    """
    bundle = Path(endpoint.verify if isinstance(endpoint.verify, str) else _default_bundle())
    if not bundle.exists():
        msg = f"The CA bundle {bundle} does not exist."
        raise ConfigError(msg, fix="--ca-bundle with the server's CA certificate as PEM.", url=shown(endpoint.url))
    return bundle


def _default_bundle() -> str:
    from certifi import where

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or where()


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL ($HTTPS_PROXY, $HTTP_PROXY, $ALL_PROXY, $NO_PROXY).

    Never one for this machine itself, which no proxy could reach. ~/.netrc is not read: the token comes from one place.
    """
    parts = urlsplit(url)
    if parts.hostname is None or is_loopback(parts.hostname) or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


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
