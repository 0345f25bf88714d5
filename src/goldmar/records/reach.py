"""How the models are reached, as a user says it: declared once, read by every edge.

The command line makes its options from the fields of Reach (`--token-env`), the pytest plugin its own
(`--goldmar-token-env`), and what goes wrong names an option as the edge spells it that the user came by.
"""

# ruff: noqa: RUF009 -- _option is dataclasses.field with the metadata of an option

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

__all__ = ["COMMAND_LINE", "Edge", "Reach"]


@dataclass(frozen=True, slots=True)
class Edge:
    """How one edge spells its options: what it puts before their names."""

    prefix: str

    def option(self, field_name: str) -> str:
        """The option of a field of Reach: `token_env` -> `--token-env`."""
        (name,) = (each.name for each in fields(Reach) if each.name == field_name)
        return self.prefix + name.replace("_", "-")

    def words(self, template: str) -> str:
        """Text with the options in it: `{token_env} NAME` -> `--token-env NAME`."""
        return template.format(**{each.name: self.option(each.name) for each in fields(Reach)[1:]})


COMMAND_LINE = Edge("--")


def _option(help_: str, *, metavar: str, default: Any = None, **more: Any) -> Any:
    metadata = {"help": help_, "metavar": metavar, **more}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a user says of the way to the models; None, or nothing, where nothing was said.

    The metadata of a field: `metavar` and `help` of its option; `about`, a clause that says what it is for, where
    not every backend takes it; `least` and `most` of a number.
    """

    edge: Edge = COMMAND_LINE
    url: str | None = _option(
        "Ask this running server instead of starting one.",
        metavar="URL",
        about="names a server that runs already",
    )
    backend: str | None = _option("{backends} Default: worker with a lock file, else local.", metavar="NAME")
    management_url: str | None = _option(
        "Its management address, to know when it is READY.",
        metavar="URL",
        about="says how to reach a running server",
    )
    token_env: str | None = _option(
        "Environment variable that holds the token.",
        metavar="NAME",
        about="says how to reach a running server",
    )
    token_file: Path | None = _option(
        "File that holds the token.",
        metavar="FILE",
        about="says how to reach a running server",
    )
    header: tuple[str, ...] = _option(
        "Send HEADER with the value of environment variable NAME.",
        metavar="HEADER=NAME",
        default=(),
        about="says how to reach a running server",
    )
    ca_bundle: Path | None = _option(
        "Certificates to trust, for a server with a private CA.",
        metavar="FILE",
        about="says how to reach a running server",
    )
    clients: int | None = _option("Drawings under way at once.", metavar="NUMBER", least=1, most=256)
    timeout: float | None = _option(
        "Seconds to wait for one answer.",
        metavar="SECONDS",
        least=0.001,
        about="is about an answer over HTTP",
    )
    env: str | None = _option(
        "With the backend compose: the settings of compose/env/NAME.env.",
        metavar="NAME",
        about="chooses a stack of compose/env",
    )
    model_version: str | None = _option(
        "Of a running server: ask this version instead of the default one.",
        metavar="VERSION",
        about="says where a running server is asked",
    )
    path: str | None = _option(
        "Of a running server: what follows its URL, instead of /predictions/{{model}}.",
        metavar="PATH",
        about="says where a running server is asked",
    )
    content_type: str | None = _option("Send every drawing as this, whatever its suffix says.", metavar="TYPE")
    field: str | None = _option("Send a form with the drawing in this field, not the drawing alone.", metavar="NAME")

    def given(self) -> dict[str, Any]:
        """Each field that says something, by its name."""
        return {each.name: value for each in fields(self)[1:] if (value := getattr(self, each.name)) not in (None, ())}
