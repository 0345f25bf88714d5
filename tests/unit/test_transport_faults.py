"""Every error code of libcurl becomes an error of goldmar, with model and URL attached."""

import errno

import pycurl
import pytest

from goldmar.errors import ConfigError, GoldmarError, RefusedError, UnreachableError, UsageError
from goldmar.transport.faults import Fault, fault

CODES = sorted(
    {getattr(pycurl, name) for name in dir(pycurl) if name.startswith("E_") and not name.startswith("E_MULTI")}
    - {pycurl.E_OK, pycurl.E_CALL_MULTI_PERFORM}
)


def made(code: int, *, os_errno: int = 0, connected: bool = True, proxy: str | None = None) -> GoldmarError:
    return fault(Fault(code, "words", os_errno, connected, 60.0, proxy, "http://h/predictions/m", "m", 3))


@pytest.mark.parametrize("code", [*CODES, 10_000])
def test_every_code_is_mapped(code: int) -> None:
    error = made(code)
    assert isinstance(error, (UnreachableError, UsageError, ConfigError))
    assert (error.model, error.url) == ("m", "http://h/predictions/m")
    assert "model 'm' at http://h/predictions/m (asked 3 times)" in str(error)
    assert error.fix
    assert f"(libcurl {code}: words)" in str(error)
    assert error.detail is None


def test_there_are_codes_to_map() -> None:
    assert len(CODES) > 80


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (pycurl.E_URL_MALFORMAT, UsageError),
        (pycurl.E_SSL_CACERT_BADFILE, ConfigError),
        (pycurl.E_COULDNT_CONNECT, UnreachableError),
        (pycurl.E_OPERATION_TIMEDOUT, UnreachableError),
        (pycurl.E_RECV_ERROR, UnreachableError),
    ],
)
def test_kinds(code: int, kind: type[GoldmarError]) -> None:
    assert type(made(code)) is kind


def test_only_a_refused_connection_is_worth_asking_again() -> None:
    assert type(made(pycurl.E_COULDNT_CONNECT, os_errno=errno.ECONNREFUSED)) is RefusedError
    assert type(made(pycurl.E_COULDNT_CONNECT, os_errno=errno.EHOSTUNREACH)) is UnreachableError
    # The number may be left over from something else.
    assert type(made(pycurl.E_RECV_ERROR, os_errno=errno.ECONNREFUSED)) is UnreachableError


def test_a_broken_connection_may_be_one_that_wanted_tls() -> None:
    assert "the URL begins with https://" in (made(pycurl.E_RECV_ERROR).fix or "")
    assert "the URL begins with https://" in (made(pycurl.E_GOT_NOTHING).fix or "")


def test_a_time_out_says_what_it_waited_for() -> None:
    assert "No connection within" in str(made(pycurl.E_OPERATION_TIMEDOUT, connected=False))
    assert "No whole answer within 60 s" in str(made(pycurl.E_OPERATION_TIMEDOUT))


def test_a_proxy_is_named() -> None:
    assert "through the proxy http://proxy:3128" in str(made(pycurl.E_COULDNT_CONNECT, proxy="http://proxy:3128"))


def test_words_and_fixes_are_those_of_the_case() -> None:
    assert "the URL begins with https://" not in (made(pycurl.E_URL_MALFORMAT).fix or "")
    assert "No connection within" in made(pycurl.E_OPERATION_TIMEDOUT, connected=False).what
    assert "No connection within" not in made(pycurl.E_RECV_ERROR, connected=False).what
    secure = Fault(pycurl.E_RECV_ERROR, "", 0, True, 60.0, None, "https://h/predictions/m", "m", 1)
    assert "the URL begins with https://" not in (fault(secure).fix or "")
