"""Environments kept by content: the same pins, files, Python and indexes use the same folder, built once.

    <cache>/environments/<digest>/              an environment; goldmar.json has its pins, files.json its files
    <cache>/environments/<digest>.<random>.tmp  one that is being built; renamed when it is complete
    <cache>/environments/<digest>.lock          locked while building (exclusive) and while in use (shared)

The cache is $GOLDMAR_CACHE, or $XDG_CACHE_HOME/goldmar, or ~/.cache/goldmar. Of the unused
environments the `KEEP` used last are kept; the others are removed when a new one is built. The folder may be removed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_version

from goldmar.environments import content, uv
from goldmar.errors import (
    CommandError,
    GoldmarError,
    MissingExtraError,
    StorageError,
    UninstallableError,
    UnreachableError,
)
from goldmar.files import write_atomically
from goldmar.locks import Lock, Pin
from goldmar.process import run

KEEP = 40
"""Unused environments that are kept. One takes about 10 MB where its files are hard links into uv's own cache."""

_MARKER = "goldmar.json"
_RUN = secrets.token_hex(8)  # for what may change without notice: never reused from an earlier run


@dataclass(frozen=True, slots=True)
class Environment:
    """An installed lock file. `reused`: it existed already; `warnings` are uv's, about withdrawn versions.

    `content` is the digest of all installed files: two environments with the same give the same answers.
    """

    digest: str
    folder: Path
    python: Path
    python_version: str
    reused: bool
    content: str
    warnings: str = ""


def cache_folder() -> Path:
    """The folder for what goldmar can make again."""
    if own := os.environ.get("GOLDMAR_CACHE"):
        return Path(own).resolve()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return ((Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "goldmar").resolve()


class Environments:
    """The environments of this machine for one Python.

    Args:
        cache: the cache folder; see the head of this module.
        python: the interpreter that environments are made of.
        on_progress: is called with a line about each long step.
        keep: how many unused ones are kept.
    """

    def __init__(
        self,
        cache: Path | None = None,
        *,
        python: Path | str = sys.executable,
        on_progress: Callable[[str], None] | None = None,
        keep: int = KEEP,
    ) -> None:
        self._folder = (cache or cache_folder()) / "environments"
        self._python = Path(python)
        self._version = platform.python_version()
        self._report = on_progress or (lambda line: None)
        self._keep = keep
        self._offline = False

    def digest(self, lock: Lock) -> str:
        """32 hexadecimal digits that identify the request: pins, Python, platform, where packages come from."""
        pins = sorted(_normalised(pin) for pin in lock.pins.values())
        place = [sys.implementation.name, self._version, sysconfig.get_platform(), *uv.index_settings()]
        request = json.dumps([pins, place, sorted(map(str, lock.anchored())), lock.trusted])
        return hashlib.sha256(request.encode()).hexdigest()[:32]

    @contextmanager
    def use(self, lock: Lock) -> Iterator[Environment]:
        """The environment of a lock file, built if it does not exist; it is not removed while the block runs.

        Raises UninstallableError with the resolver's message, UnreachableError where packages cannot be fetched,
        StorageError, and MissingExtraError where something has to be built and there is no uv.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            digest, requirements = self._identified(lock)
            descriptor, reused, warnings = self._locked(lock, digest, requirements)
        except OSError as error:
            msg = f"The environment of {lock.path} could not be written to {self._folder}: {error.strerror}."
            raise StorageError(msg, fix="Free some space, or set GOLDMAR_CACHE to another folder") from error
        folder = self._folder / digest
        try:
            installed = _marker(folder).get("content", "")
            yield Environment(digest, folder, folder / "bin" / "python", self._version, reused, installed, warnings)
        finally:
            os.close(descriptor)

    def _identified(self, lock: Lock) -> tuple[str, str | GoldmarError]:
        """The folder's name, and the requirements to install there, with the current hashes of the files.

        Where the indexes are unavailable, the environment used last for the same request, and the error.
        """
        request = self.digest(lock)
        try:
            with self._requirements_file(lock) as requirements:
                resolved = self._identify(lock, requirements)
        except (UnreachableError, MissingExtraError) as error:
            there = [path for path in self._folder.iterdir() if _marker(path).get("request") == request]
            if not there:
                raise
            return max(there, key=lambda path: path.stat().st_mtime).name, error
        lines = []
        for name, pin in resolved.pins.items():
            own = lock.pins.get(name)
            lines.append(own.line if own is not None and (own.hashes or own.url) else pin.line)
        # The hashes show that a package was built again under the same version.
        files = sorted([name, pin.version, *pin.hashes] for name, pin in resolved.pins.items())
        digest = hashlib.sha256(json.dumps([request, files]).encode()).hexdigest()[:32]
        return digest, "".join(f"{line}\n" for line in (*lock.anchored(), *lines))

    def _identify(self, lock: Lock, requirements: Path) -> Lock:
        if not self._offline:
            try:
                return uv.identify(lock, requirements, self._python)
            except UnreachableError as error:
                try:
                    found = uv.identify(lock, requirements, self._python, offline=True)
                except (UninstallableError, UnreachableError):
                    raise error from None  # the other message is about the cache
                self._offline = True
                return found
        return uv.identify(lock, requirements, self._python, offline=True)

    def resolve(self, lock: Lock) -> Lock:
        """Resolve the pins; raises UninstallableError where they do not go together."""
        with self._requirements_file(lock) as requirements:
            return uv.resolve(lock, requirements, self._python)

    def prune(self) -> int:
        """Remove unused environments, except the ones used last, and remains of killed builds. Returns how many."""
        found = sorted(
            (path for path in self._folder.iterdir() if path.is_dir() and path.suffix != ".tmp"),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        removed = sum(self._remove(path.name) for path in found[self._keep :])
        for left in self._folder.glob("*.tmp"):
            self._remove(left.name.partition(".")[0], only_left_overs=True)
        return removed

    def _remove(self, digest: str, *, only_left_overs: bool = False) -> bool:
        """False where it is in use."""
        path = self._folder / f"{digest}.lock"
        try:
            descriptor = _opened(path)
        except OSError:
            return False
        try:
            if not (_try(descriptor, fcntl.LOCK_EX) and _current(descriptor, path)):
                return False
            folder = self._folder / digest
            if folder.exists() and not only_left_overs:
                # Renamed first: a reader must not see half of it.
                folder.rename(self._folder / f"{digest}.{secrets.token_hex(4)}.tmp")
            for left in self._folder.glob(f"{digest}.*.tmp"):
                shutil.rmtree(left, ignore_errors=True)
            if not folder.exists():
                path.unlink(missing_ok=True)
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _locked(self, lock: Lock, digest: str, requirements: str | GoldmarError) -> tuple[int, bool, str]:
        """A descriptor that keeps the environment from being removed, whether it was reused, and uv's warnings."""
        folder, path, built, warnings = self._folder / digest, self._folder / f"{digest}.lock", False, ""
        while True:
            descriptor = _opened(path)
            try:
                if not _try(descriptor, fcntl.LOCK_SH):
                    self._report(f"{lock.path}: waiting for another process that builds the same environment")
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _current(descriptor, path) and _intact(folder):
                    os.utime(folder)  # when it was used last
                    return descriptor, not built, warnings
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _current(descriptor, path) and not _intact(folder):
                    if isinstance(requirements, GoldmarError):
                        raise requirements
                    if changed := _changed(folder):
                        self._report(f"{lock.path}: {changed} in its environment was changed; it is installed again")
                    warnings = self._build(lock, digest, folder, descriptor, requirements)
                    built = True
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # and start again: it must not have been removed in between

    def _build(self, lock: Lock, digest: str, folder: Path, lock_fd: int, text: str) -> str:
        for left in self._folder.glob(f"{digest}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)  # one that is incomplete
        self._report(f"{lock.path}: installing {len(lock.pins)} packages")
        temporary = self._folder / f"{digest}.{secrets.token_hex(4)}.tmp"
        try:
            warnings, files = self._installed(lock, text, temporary, lock_fd, ())
            if bad := content.forged(temporary, files):
                # Files are hard links into uv's cache: a write to one in an environment changes the cache.
                self._report(f"{lock.path}: uv's cache was changed ({bad[0]}); packages are fetched again")
                shutil.rmtree(temporary)
                warnings, files = self._installed(lock, text, temporary, lock_fd, ("--no-cache",))
            self._share_bytecode(temporary)
            content.write(temporary, files)
            pins = {pin.name: pin.version for pin in lock.pins.values()}
            about = {"python": self._version, "pins": pins, "request": self.digest(lock)}
            about["content"] = content.digest(files)
            write_atomically(temporary / _MARKER, json.dumps(about, indent=1))
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self.prune()
        return warnings

    def _installed(
        self, lock: Lock, text: str, folder: Path, lock_fd: int, more: Sequence[str]
    ) -> tuple[str, content.Files]:
        uv.make_venv(folder, self._python)
        requirements = folder / "requirements.txt"
        requirements.write_text(text, encoding="utf-8")
        more = [*more, "--refresh"] if any(_is_folder(pin) for pin in lock.pins.values()) else more
        warnings = uv.install(lock, requirements, folder / "bin" / "python", pass_fds=[lock_fd], more=more)
        known: dict[str, tuple[int, int, int, str]] = {}
        if donor := self._used_last():
            known = dict(content.read(donor) or {})
        return warnings, content.scan(folder, known)

    def _used_last(self) -> Path | None:
        others = [path for path in self._folder.iterdir() if (path / _MARKER).exists()]
        with contextlib.suppress(OSError):  # another process may be removing it
            return max(others, key=lambda path: path.stat().st_mtime, default=None)
        return None

    def _share_bytecode(self, new: Path) -> None:
        """Link the bytecode of the environment used last beside sources that are the same file in both.

        Most of a candidate is as in the one before: without this the worker compiles torch again in each. A source of
        another version is another file, even with the same size and time.
        """
        donor = self._used_last()
        with contextlib.suppress(OSError):  # another process may be removing it
            for folder, _, names in os.walk(donor) if donor else ():
                if os.path.basename(folder) != "__pycache__":  # noqa: PTH119 -- twenty thousand files
                    continue
                here = new / os.path.relpath(folder, donor)
                for name in names:
                    with contextlib.suppress(OSError):  # not there in one of the two
                        source = f"{name.partition('.')[0]}.py"
                        if (here.parent / source).samefile(Path(folder).parent / source):
                            here.mkdir(exist_ok=True)
                            os.link(Path(folder, name), here / name)

    @contextmanager
    def _requirements_file(self, lock: Lock) -> Iterator[Path]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{self._folder} cannot be made: {error.strerror}."
            raise StorageError(msg, fix="Set GOLDMAR_CACHE to another folder") from error
        path = self._folder / f"resolve.{os.getpid()}.{secrets.token_hex(4)}.txt"
        try:
            write_atomically(path, lock.text())
            yield path
        finally:
            path.unlink(missing_ok=True)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _current(descriptor: int, path: Path) -> bool:
    """Whether the lock file is still in its place: it is removed together with its environment."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    return False


def _intact(folder: Path) -> bool:
    """Complete and unchanged, and the Python that it was made of still exists."""
    if not (folder / _MARKER).exists() or _changed(folder):
        return False
    try:
        done = run([folder / "bin" / "python", "-I", "-c", "import sys; print(sys.prefix)"], check=True, timeout_s=60)
    except CommandError:
        return False
    return Path(done.text.strip()).resolve() == folder.resolve()


def _marker(folder: Path) -> dict[str, Any]:
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _changed(folder: Path) -> str:
    """A file of an environment that was changed; empty where there is none, and where nothing is installed."""
    if not (folder / _MARKER).exists():
        return ""
    files = content.read(folder)
    try:
        if files is None or content.digest(files) != _marker(folder).get("content"):
            return "the list of its files"
        return content.touched(folder, files)
    except OSError as error:
        return str(error.filename)


def _normalised(pin: Pin) -> str:
    version = _content(pin.url) if pin.url else canonicalize_version(pin.version)
    return f"{pin.name}[{','.join(pin.extras)}]=={version} {' '.join(pin.hashes)}"


def _content(url: str) -> str:
    """A direct reference. A file of this machine may change under its name, and a folder or an address at any time."""
    path = _local(url)
    if path is not None and path.is_file():
        return f"{url} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"{url} {_RUN}"


def _is_folder(pin: Pin) -> bool:
    path = _local(pin.url)
    return path is not None and path.is_dir()


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
