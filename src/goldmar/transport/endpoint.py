"""An address that is asked over HTTP, with all that a request to it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from goldmar.records import COMMAND_LINE, Edge

__all__ = ["Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, and with what.

    `headers` may hold a token and is therefore never shown by `repr`. `verify` is True, False or the path of a CA
    bundle, as in requests. `timeout_s` is for the whole of one answer. `edge` says how errors spell options.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    timeout_s: float = 120.0
    edge: Edge = COMMAND_LINE
