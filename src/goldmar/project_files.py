"""Files that goldmar writes into a project and upgrades, but never when the user has changed them.

ci/written.json has the digest of each file as goldmar wrote it last, and belongs in git. A file with that digest is
upgraded; any other is the user's and is left, and the new one is written beside it as FILE.new, once.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from goldmar.errors import ConfigError, StorageError, UsageError
from goldmar.files import atomic_path, remove, write_atomically

MANIFEST = "ci/written.json"
NEW = ".new"
_BEGIN, _END = "# >>> goldmar init: these lines are its own >>>", "# <<< goldmar init <<<"


class FileStatus(StrEnum):
    """What was done with a file."""

    written = "written"
    upgraded = "upgraded"
    removed = "removed"
    same = "same"
    left = "left"  # the user's, and there is no new version of it
    beside = "beside"  # the user's; the new one is beside it


@dataclass(frozen=True, slots=True)
class File:
    """The content of a file to write."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class FileResult:
    """What was done with `path`, which is relative to the project."""

    path: str
    status: FileStatus


@dataclass(slots=True)
class Manifest:
    """`files`: path -> digest of what was written last; `locks`: lock file -> digest of its inputs."""

    files: dict[str, str] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path, version: str) -> None:
        """Raises StorageError."""
        content = {"goldmar": version, "files": self.files, "locks": self.locks}
        write_atomically(root / MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")


def digest(content: bytes) -> str:
    """A digest for the manifest. Line ends do not count: git may change them."""
    return "sha256:" + hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def read_manifest(root: Path) -> Manifest:
    """What was written earlier; empty where nothing was. Raises ConfigError, StorageError."""
    path = root / MANIFEST
    content = _read(path)
    if content is None:
        return Manifest()
    try:
        document = json.loads(content)
        tables = [document[key] for key in ("files", "locks")]
        if not all(isinstance(text, str) for table in tables for pair in table.items() for text in pair):
            raise TypeError
        if any(path.startswith("/") or ".." in PurePosixPath(path).parts for table in tables for path in table):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path} is not what goldmar wrote.",
            fix=f"git checkout '{path}'; without it every file that differs counts as yours: rm '{path}'",
        ) from error
    return Manifest(*tables)


def settle(root: Path, files: Mapping[str, File], manifest: Manifest, *, owned: Sequence[str] = ()) -> list[FileResult]:
    """Write `files` (by their path in the project) by the rule above, and update `manifest`.

    Below the folders `owned` a file that is no longer among `files` is removed, if it is unchanged.
    Returns what was done with each, sorted by path.

    Raises:
        UsageError: something that is no file, or a link out of the project, is in the way; nothing was written.
        StorageError: a file cannot be read or written.
    """
    for path in files:
        refuse_in_the_way(root, path)
    found = [_settle(root, path, file, manifest) for path, file in files.items()]
    gone = [path for path in manifest.files if any(PurePosixPath(path).is_relative_to(folder) for folder in owned)]
    for path in sorted(set(gone) - files.keys() - {f"{path}{NEW}" for path in files}):
        there = _read(root / path)
        if there is None or (digest(there) == manifest.files[path] and _inside(root, root / path)):
            remove(root / path)
            del manifest.files[path]
            found.append(FileResult(path, FileStatus.removed))
        else:
            found.append(FileResult(path, FileStatus.left))
    return sorted(found, key=lambda outcome: outcome.path)


def with_block(text: str, lines: Iterable[str]) -> str:
    """`text` with `lines` between two marks: instead of those between the marks, or at the end."""
    block = "\n".join([_BEGIN, *lines, _END])
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and end:
        return before + block + after
    return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{block}\n"


def _settle(root: Path, path: str, file: File, manifest: Manifest) -> FileResult:
    target, new, known = root / path, digest(file.content), manifest.files.get(path)
    there = _read(target)
    if there is not None and digest(there) == new:
        manifest.files[path] = new
        _remove_offered(root, path, manifest)
        return FileResult(path, FileStatus.same)
    if there is None or (digest(there) == known and not target.is_symlink()):
        _write(target, file)
        manifest.files[path] = new
        _remove_offered(root, path, manifest)
        return FileResult(path, FileStatus.written if there is None else FileStatus.upgraded)
    if known == new:
        return FileResult(path, FileStatus.left)
    beside = path + NEW
    offered = _read(root / beside)
    if (root / beside).is_symlink() or (offered and digest(offered) not in {new, manifest.files.get(beside)}):
        return FileResult(path, FileStatus.left)  # the user has a file of that name
    _write(root / beside, file)
    manifest.files[path] = manifest.files[beside] = new
    return FileResult(path, FileStatus.beside)


def _remove_offered(root: Path, path: str, manifest: Manifest) -> None:
    """Remove what was written beside a file, once the file itself is the new one."""
    offered = manifest.files.pop(path + NEW, None)
    if offered and digest(_read(root / (path + NEW)) or b"") == offered:
        remove(root / (path + NEW))


def _write(target: Path, file: File) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(file.content)
        temporary.chmod(0o755 if file.executable else 0o644)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror}.", fix=f"ls -l '{path}'") from error


def _inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def refuse_in_the_way(root: Path, path: str) -> None:
    """Raise UsageError for a folder where a file goes, a file where a folder goes, and a link out of the project."""
    target = root / path
    parents = [folder for folder in target.parents if folder.is_relative_to(root)]
    blocked = [folder for folder in parents if (folder.exists() or folder.is_symlink()) and not folder.is_dir()]
    outside = not _inside(root, target.parent)
    dangling = target.is_symlink() and not target.exists()
    if blocked or outside or dangling or (target.exists() and not target.is_file()):
        what = blocked[0] if blocked else target
        why = "leads out of the project" if outside else "is in the way"
        raise UsageError(f"{what} {why}; nothing was written.", fix=f"ls -ld '{what}'; move it away first")
