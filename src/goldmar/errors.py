"""Every error that goldmar raises on purpose, and the exit code it stands for.

GoldmarError                       what went wrong, where, and the command that fixes it
├── UsageError                 2   the command or its arguments make no sense
├── ConfigError                2   a TOML file is missing, unreadable or has an unknown key
├── GoldenError                2   a golden cannot be read, or was never approved
├── ArchiveError               2   a handler directory or a .mar breaks a rule of the archive
├── TokenError                 2   the server rejected the token: wrong, expired or absent
├── ModelUnknownError          2   the server does not serve that model or version
├── MissingExtraError          2   an optional package is not installed
├── UninstallableError         2   the pins of a lock file cannot be installed together, or one of them not at all
├── ServerError                3   the server could not be reached, started or kept alive
│   ├── UnreachableError       3   nothing answers at that address, or the connection broke
│   │   └── RefusedError       3   nothing listens there: not one byte was sent, so a retry makes sense
│   ├── NotReadyError          3   it runs, but never had its workers READY
│   ├── WorkerDiedError        3   a worker died; carries the handler's own traceback where there is one
│   ├── OverloadedError        3   the queue stayed full through every retry
│   └── CommandError           3   a program that goldmar runs has failed
│       ├── NotStartedError    3   it could not be run: not found, say
│       └── TooLongError       3   it did not end in time
├── StorageError               3   a file could not be written (disk full, no permission)
└── Interrupted              130   Ctrl-C or SIGTERM; what was obtained so far is on disk

Predictions that differ are no error: they are results, and exit code 1 is a verdict of `gate`.
"""

from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of a finished command."""

    OK = 0
    DIFFERENT = 1
    USAGE = 2
    SERVER = 3
    BUG = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130


class GoldmarError(Exception):
    """Base of all errors.

    Args:
        what: one sentence, naming the file, model or URL concerned.
        fix: the command or the change that corrects it, printed on a line of its own.
        model: the model concerned, if one is.
        url: the URL concerned, if one is.
        detail: longer text to show as it is (a traceback, the end of a log).
        saved: the file that holds what was obtained before it went wrong.
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        what: str,
        *,
        fix: str | None = None,
        model: str | None = None,
        url: str | None = None,
        detail: str | None = None,
        saved: Path | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.model = model
        self.url = url
        self.detail = detail
        self.saved = saved

    def add_detail(self, text: str) -> None:
        """Put more below what `detail` says already."""
        self.detail = "\n".join(filter(None, (self.detail, text))) or None


class UsageError(GoldmarError):
    """The command or its arguments make no sense."""


class ConfigError(GoldmarError):
    """A TOML file is missing, unreadable or has an unknown key."""


class GoldenError(GoldmarError):
    """A golden cannot be read, or was never approved."""


class ArchiveError(GoldmarError):
    """A handler directory or a .mar breaks a rule of the archive."""


class TokenError(GoldmarError):
    """The server rejected the token: wrong, expired or absent."""


class ModelUnknownError(GoldmarError):
    """The server does not serve that model or version."""


FOR_CPUS = "--find-links https://download.pytorch.org/whl/cpu/torch/ "
"""pip's option for whatever brings torch: most indexes have only the build for CUDA, 6 GB in all."""
_WITH_TORCH = {"serve", "training"}


class MissingExtraError(GoldmarError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            fix=f"pip install {FOR_CPUS if extra in _WITH_TORCH else ''}'goldmar[{extra}]'",
        )


class UninstallableError(GoldmarError):
    """The pins of a lock file cannot be installed together, or one of them not at all; `detail` has the reason."""


class ServerError(GoldmarError):
    """The server could not be reached, started or kept alive."""

    exit_code = ExitCode.SERVER


class UnreachableError(ServerError):
    """Nothing answers at that address, or the connection broke."""


class RefusedError(UnreachableError):
    """Nothing listens there (yet): not one byte was sent, so a retry makes sense."""


class NotReadyError(ServerError):
    """The server runs, but never had its workers READY."""


class WorkerDiedError(ServerError):
    """A worker died; `detail` holds the handler's own traceback where there is one."""


class OverloadedError(ServerError):
    """The queue stayed full through every retry."""


class CommandError(ServerError):
    """A program that goldmar runs has failed; `detail` holds the end of its output."""


class NotStartedError(CommandError):
    """It could not be run. `reason` is the system's, `missing` whether there is no such program."""

    def __init__(self, name: str, reason: str, *, missing: bool = False) -> None:
        super().__init__(
            f"{name} could not be run: {reason}.", fix=f"Install {name}, or put it on PATH" if missing else None
        )
        self.reason = reason
        self.missing = missing


class TooLongError(CommandError):
    """It did not end in time, and was ended."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"{name} did not end within {seconds:g} s.", fix="Run it again on a machine that is less busy")


class StorageError(GoldmarError):
    """A file could not be written: disk full, no permission, read-only file system."""

    exit_code = ExitCode.SERVER


class Interrupted(GoldmarError):
    """Ctrl-C or SIGTERM; what was obtained so far is on disk and named in `what`."""

    exit_code = ExitCode.INTERRUPTED
