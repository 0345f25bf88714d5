"""Resolving and installing with uv, with pip's settings on this machine.

uv does not read pip's configuration. Its settings (an index inside the company, a folder of wheels, a proxy,
certificates) are therefore passed to uv, unless the user has set uv's own.
"""

import ast
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from goldmar.environments import builds
from goldmar.errors import (
    CommandError,
    GoldmarError,
    MissingExtraError,
    NotStartedError,
    ServerError,
    StorageError,
    UninstallableError,
    UnreachableError,
)
from goldmar.locks import Lock, parse_lock
from goldmar.process import Completed, Exit, run
from goldmar.requirements import Option, without_password

# pip's option -> uv's variable. Several values are separated by blanks, folders of wheels by commas.
_HANDED_OVER = {
    "index-url": "UV_INDEX_URL",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
_INDEXES = {
    "UV_INDEX_URL": ("UV_DEFAULT_INDEX",),
    "UV_EXTRA_INDEX_URL": ("UV_INDEX",),
    "UV_FIND_LINKS": (),
    "UV_NO_INDEX": (),
}
"""The variables for where packages come from, and their newer names."""
_INDEX_VARIABLES = sorted({*_INDEXES, *(newer for both in _INDEXES.values() for newer in both)})

_DISK = re.compile(
    r"\(os error (?:13|20|27|28|30|122)\)|No space left on device|Failed to initialize cache", re.IGNORECASE
)
_UNBUILT = re.compile(r"[Ww]heels are required for `(?P<package>[^`]+)`")
_COMPILE = ("pip", "compile", "--quiet", "--no-header", "--no-strip-extras")
# The first pattern found in uv's output decides: the error, its message and its fix.
_CAUSES: tuple[tuple[str, type[GoldmarError], str, str], ...] = (
    (  # uv continues as if the index were empty, and then finds that nothing fits: so this comes first
        r"\((?:401 Unauthorized|407 Proxy Authentication Required)\)",
        UnreachableError,
        "{what} could not be fetched: an index, or the proxy, wants a user name and a password.",
        "Set pip up with them (pip config list shows what it has), then run it again",
    ),
    (
        r"No solution found|unsatisfiable|conflict|not found in the package registry",
        UninstallableError,
        "{what} cannot be installed: its pins do not go together, or a version is unavailable.",
        "Resolve the lock file again; versions that were withdrawn have to be replaced",
    ),
    (
        (
            r"error sending request|client error \(Connect\)|dns error|tcp connect error|operation timed out|offline\?"
            r"|Failed to fetch|Request failed after|connection (?:reset|refused|closed)"
        ),
        UnreachableError,
        "{what} could not be fetched.",
        "Check the network, the proxy and pip's index settings (pip config list), then run it again",
    ),
    (
        r"Hash mismatch|--require-hashes",
        UninstallableError,
        "{what} cannot be installed: a file is not the one whose hash is pinned.",
        "Resolve the lock file again, once it is clear why the file has changed",
    ),
    (
        r"Failed to build|Call to .* failed|build backend|command '.*(?:gcc|cc|clang|g\+\+)'",
        UninstallableError,
        "{what} cannot be installed: a package has no wheel for this Python and could not be built.",
        "Pin a version that has a wheel, or install what its build needs (a compiler, headers)",
    ),
)


def make_venv(folder: Path, python: Path) -> None:
    """An empty environment that may be renamed. Raises StorageError, GoldmarError."""
    _run(["venv", "--quiet", "--no-project", "--relocatable", "--python", str(python), str(folder)], what=str(folder))


def install(
    lock: Lock, requirements: Path, python: Path, pass_fds: Sequence[int] = (), more: Sequence[str] = ()
) -> str:
    """Install what `requirements` pins (the text of `lock`, resolved) for `python`; returns uv's warnings.

    `pass_fds` are file descriptors that uv keeps open: the lock of the folder it writes to.
    Raises as `resolve` does.
    """
    with _for_cpus(lock, python) as options:
        command = ["pip", "install", "--python", str(python), "-r", str(requirements), *options, *_flags(lock)]
        command += ["--require-hashes"] if Option("--require-hashes") in lock.options else []
        # With `more`, packages are not to come from uv's cache.
        done = _run([*command, *more], what=str(lock.path), pass_fds=pass_fds) if more else None
        return _warnings((done or _cached_or_not(command, what=str(lock.path), pass_fds=pass_fds)).errors)


def resolve(lock: Lock, requirements: Path, python: Path) -> Lock:
    """Resolve the pins: the same pins, and whatever else they need.

    Raises UninstallableError with the resolver's message, UnreachableError, StorageError, MissingExtraError.
    """
    with _for_cpus(lock, python) as options:
        command = [*_COMPILE, "--python", str(python), *options, *_flags(lock), str(requirements)]
        done = _cached_or_not(command, what=str(lock.path))
    return parse_lock(done.text, lock.path)


def identify(lock: Lock, requirements: Path, python: Path, *, offline: bool = False) -> Lock:
    """As `resolve`, with the hashes of the matching files that the indexes have now, not from uv's cache.

    `offline`: from uv's cache. Raises as `resolve` does.
    """
    with _for_cpus(lock, python) as options:
        command = [*_COMPILE, "--generate-hashes", "--python", str(python), *options, *_flags(lock), str(requirements)]
        done = _run([*command, *(["--offline"] if offline else [])], what=str(lock.path))
    return parse_lock(done.text, lock.path)


def _flags(lock: Lock) -> list[str]:
    """The options of a lock file that uv reads only on its command line; no builds, unless trusted."""
    flags = [] if lock.trusted else ["--no-build"]
    for option in lock.options:
        if option.name == "--pre":
            flags += ["--prerelease", "allow"]
        elif option.name == "--trusted-host":
            flags += ["--allow-insecure-host", option.value]
    return flags


def compile_file(root: Path, wanted: str, out: Path, options: Sequence[str], command: str) -> None:
    """Resolve the requirements file `wanted`, relative to `root`, into `out`, whose pins are kept where they fit.

    `command` is the one named in the head of the file. Raises as `resolve` does.
    """
    full = ["pip", "compile", "--quiet", "--no-strip-extras", wanted, "--output-file", str(out), *options]
    _run(full, what=wanted, folder=root, variables={"UV_CUSTOM_COMPILE_COMMAND": command})


@contextlib.contextmanager
def _for_cpus(lock: Lock, python: Path) -> Iterator[list[str]]:
    """uv's options that choose the builds of torch for CPUs; they name a file that exists while the block runs."""

    def compile_(lines: Sequence[str], options: Sequence[str], variables: Mapping[str, str]) -> Lock | None:
        return _compiled(tuple(lines), (*options, *_flags(lock)), tuple(variables.items()), python, str(lock.path))

    requirements, options = builds.for_cpus(lock, compile_)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "cpu.txt"
        constraints.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
        yield [*options, "--constraint", str(constraints)] if requirements else []


@lru_cache(maxsize=64)
def _compiled(
    lines: tuple[str, ...], options: tuple[str, ...], variables: tuple[tuple[str, str], ...], python: Path, what: str
) -> Lock | None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [*_COMPILE, "--python", str(python), *options, str(wanted)]
        with contextlib.suppress(UninstallableError, UnreachableError):
            return parse_lock(_cached_or_not(command, what=what, variables=dict(variables)).text, what)
    return None


def handed_over(environment: Mapping[str, str]) -> dict[str, str]:
    """uv's variables, from pip's settings; those that `environment` already has for uv are kept."""
    taken: dict[str, str] = {}
    for option, value in _pip_settings():
        variable = _HANDED_OVER.get(option)
        values = value.split()
        if variable is None or not values:
            continue
        if variable in environment or any(newer in environment for newer in _INDEXES.get(variable, ())):
            continue
        taken[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(values)
    if taken.keys() & {"UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"} and "UV_INDEX_STRATEGY" not in environment:
        # As pip: the best version in any index. uv would stop at the first index that has the name.
        taken["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return taken


def index_settings() -> tuple[str, ...]:
    """Where packages come from, without passwords: a part of what identifies an environment."""
    environment = dict(os.environ) | handed_over(os.environ)
    names = (*_INDEX_VARIABLES, "GOLDMAR_TORCH", "GOLDMAR_TORCH_INDEX")
    return tuple(without_password(f"{name}={environment[name]}") for name in names if environment.get(name))


def places() -> frozenset[str]:
    """The indexes and folders that this machine is set up with, exactly, with their passwords and without."""
    environment = dict(os.environ) | handed_over(os.environ)
    found: set[str] = set()
    for name in {*_INDEX_VARIABLES} - {"UV_NO_INDEX"}:
        for word in re.split(r"[\s,]+" if name == "UV_FIND_LINKS" else r"\s+", environment.get(name, "")):
            place = re.sub(r"^[A-Za-z0-9_.-]+=(?=\w+:)", "", word)  # UV_INDEX may give each a name
            found |= {place, re.sub(r"://[^/@\s\\]*@", "://", place)}
            if place and "://" not in place:
                found.add(str(Path(place).absolute()))
    return frozenset(found - {""})


@lru_cache(maxsize=1)
def _pip_settings() -> tuple[tuple[str, str], ...]:
    """pip's options as it reads them itself, later ones overriding; empty where there is no pip."""
    try:
        # -P: a folder of that name in a project is not pip.
        command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "config", "list"]
        done = run(command, check=True, timeout_s=60)
    except CommandError:
        return ()
    found = []
    for line in done.text.splitlines():
        key, _, quoted = line.partition("=")
        section, _, option = key.strip().rpartition(".")
        if section in {"global", "install", "download", ":env:"}:
            with contextlib.suppress(ValueError, SyntaxError):
                found.append((option, str(ast.literal_eval(quoted))))
    return tuple(found)


def executable(purpose: str = "Building the environment of a lock file") -> str:
    """The path of uv. Raises MissingExtraError, which names the purpose."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise MissingExtraError("uv", "bisect", purpose)
    return found


def _cached_or_not(
    command: Sequence[str], *, what: str, pass_fds: Sequence[int] = (), variables: Mapping[str, str] | None = None
) -> Completed:
    """From uv's own cache first: what is pinned does not change, and the network may be slow or unavailable."""
    try:
        return _run([*command, "--offline"], what=what, pass_fds=pass_fds)
    except (UninstallableError, UnreachableError):
        pass  # this message is about the cache; that of the second attempt has the cause
    return _run(command, what=what, pass_fds=pass_fds, variables=variables)


def _run(
    command: Sequence[str],
    *,
    what: str,
    pass_fds: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Completed:
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "UV_PYTHON"}}
    environment |= handed_over(os.environ) | {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "UV_LINK_MODE": os.environ.get("UV_LINK_MODE", "hardlink"),
        **(variables or {}),
    }
    # For this setting of pip uv has an option, and no variable.
    no_index = environment.get("UV_NO_INDEX", "0").lower() not in {"0", "false", "no", "off", "f", "n"}
    # uv.toml and [tool.uv] of a project could name other indexes: only the user's own settings count.
    where = ["--project", "/"] if folder is None else []
    if no_index and command[0] == "pip" and "--no-index" not in command:
        command = [*command, "--no-index"]
    full = [executable(), *where, *command]
    try:
        done = run(full, env=environment, cwd=folder, pass_fds=pass_fds)  # ends its children as well
    except NotStartedError as error:
        raise MissingExtraError("uv", "bisect", error.what) from error
    if done.code != 0:
        raise _why(what, done.errors.strip() or done.text.strip(), done.exit)
    return done


def _why(what: str, output: str, ended: Exit) -> GoldmarError:
    """uv's output as an error: what cannot be installed differs from what could not be fetched or written."""
    if ended.signal not in {"", "SIGXFSZ"}:
        return ServerError(
            f"uv {ended} while it installed {what}.",
            fix="Run it again; if it may have run out of memory: dmesg | grep -i 'out of memory'",
        )
    output = without_password(output)
    noise = ("Using Python", "Using CPython", "Resolved ", "warning: Failed to hardlink")
    output = "\n".join(line for line in output.splitlines() if not line.startswith(noise))
    if _DISK.search(output) or ended.signal == "SIGXFSZ":
        return StorageError(
            f"The environment of {what} could not be written.",
            fix="Free some space, or set GOLDMAR_CACHE to another folder (and UV_CACHE_DIR, on the same disk)",
            detail=output or None,
        )
    if refused := _UNBUILT.search(output):
        package = refused["package"]
        return UninstallableError(
            f"{what} cannot be installed: {package} has no wheel here, and building it would run its code.",
            fix=f"Put a wheel of {package} where pip looks (PIP_FIND_LINKS=FOLDER), or --trust-lock if you trust it",
            detail=output,
        )
    for pattern, error, message, fix in _CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return error(message.format(what=what), fix=fix, detail=output)
    if ended.code == 1:  # uv's own code for what it understands; 2 is for the rest
        return UninstallableError(f"{what} cannot be installed.", fix="Read what uv says above", detail=output)
    return ServerError(f"uv failed while it installed {what}.", fix="Read what uv says above", detail=output)


def _warnings(stderr: str) -> str:
    return "\n".join(line for line in stderr.splitlines() if line.startswith("warning:") and "yanked" in line)
