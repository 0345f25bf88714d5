"""Files that goldmar writes into a project, and writes anew when it is upgraded, but never over what the user changed.

ci/written.json says of each file what goldmar wrote last. It belongs in git with the others. A file that reads as it
says is goldmar's and follows the upgrade; any other is the user's and stays, and the new one is put beside it as
FILE.new, once.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from goldmar.errors import ConfigError, StorageError, UsageError
from goldmar.files import atomic_path, remove, write_atomically

__all__ = [
    "MANIFEST",
    "Fate",
    "File",
    "Manifest",
    "Outcome",
    "digest",
    "read_manifest",
    "refuse_in_the_way",
    "settle",
    "with_block",
]

MANIFEST = "ci/written.json"
NEW = ".new"
_BEGIN, _END = "# >>> goldmar init: these lines are its own >>>", "# <<< goldmar init <<<"


class Fate(StrEnum):
    """What became of a file."""

    written = "written"
    upgraded = "upgraded"
    removed = "removed"
    same = "same"
    left = "left"  # the user's, and there is nothing new to be said
    beside = "beside"  # the user's; the new one is beside it


@dataclass(frozen=True, slots=True)
class File:
    """What a file shall hold."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of `path`, which is relative to the project."""

    path: str
    fate: Fate


@dataclass(slots=True)
class Manifest:
    """`files`: path -> digest of what was written or offered last; `locks`: lock file -> that of what it is made of."""

    files: dict[str, str] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path, version: str) -> None:
        """Raises StorageError."""
        said = {"goldmar": version, "files": self.files, "locks": self.locks}
        write_atomically(root / MANIFEST, json.dumps(said, indent=1, sort_keys=True) + "\n")


def digest(content: bytes) -> str:
    """As it stands in the manifest. Line ends do not count: git may write them as the system has them."""
    return "sha256:" + hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def read_manifest(root: Path) -> Manifest:
    """What was written earlier; empty where nothing was. Raises ConfigError, StorageError."""
    path = root / MANIFEST
    try:
        said = json.loads(path.read_bytes())
        tables = [said[key] for key in ("files", "locks")]
        if not all(isinstance(text, str) for table in tables for pair in table.items() for text in pair):
            raise TypeError
        if any(path.startswith("/") or ".." in PurePosixPath(path).parts for table in tables for path in table):
            raise ValueError
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error.strerror}.", fix=f"ls -l '{path}'") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path} is not what goldmar wrote.",
            fix=f"git checkout '{path}'; without it every file that differs is taken for yours: rm '{path}'",
        ) from error
    return Manifest(*tables)


def settle(root: Path, files: Mapping[str, File], manifest: Manifest, *, owned: Sequence[str] = ()) -> list[Outcome]:
    """Write `files` (by their path in the project) as the rule above has it, and keep `manifest` up to date.

    Below the folders `owned` a file that is no longer among `files` goes, if it is as it was written.
    Returns what became of each, sorted by path.

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
            found.append(Outcome(path, Fate.removed))
        else:
            found.append(Outcome(path, Fate.left))
    return sorted(found, key=lambda outcome: outcome.path)


def with_block(text: str, lines: Iterable[str]) -> str:
    """`text` with `lines` between two marks: in the place of those that are there, or at the end."""
    block = "\n".join([_BEGIN, *lines, _END])
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and end:
        return before + block + after
    return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{block}\n"


def _settle(root: Path, path: str, file: File, manifest: Manifest) -> Outcome:
    target, new, known = root / path, digest(file.content), manifest.files.get(path)
    there = _read(target)
    if there is not None and digest(there) == new:
        manifest.files[path] = new
        _offer_no_more(root, path, manifest)
        return Outcome(path, Fate.same)
    if there is None or (digest(there) == known and not target.is_symlink()):
        _write(target, file)
        manifest.files[path] = new
        _offer_no_more(root, path, manifest)
        return Outcome(path, Fate.written if there is None else Fate.upgraded)
    if known == new:
        return Outcome(path, Fate.left)
    beside = path + NEW
    offered = _read(root / beside)
    if (root / beside).is_symlink() or (offered and digest(offered) not in {new, manifest.files.get(beside)}):
        return Outcome(path, Fate.left)  # a file of the user's has that name
    _write(root / beside, file)
    manifest.files[path] = manifest.files[beside] = new
    return Outcome(path, Fate.beside)


def _offer_no_more(root: Path, path: str, manifest: Manifest) -> None:
    """What was put beside a file is done with once the file itself is the new one."""
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
    """A folder where a file shall be, a file where a folder shall be, and what leads out of the project: UsageError."""
    target = root / path
    parents = [folder for folder in target.parents if folder.is_relative_to(root)]
    blocked = [folder for folder in parents if (folder.exists() or folder.is_symlink()) and not folder.is_dir()]
    outside = not _inside(root, target.parent)
    dangling = target.is_symlink() and not target.exists()
    if blocked or outside or dangling or (target.exists() and not target.is_file()):
        what = blocked[0] if blocked else target
        why = "leads out of the project" if outside else "is in the way"
        raise UsageError(f"{what} {why}; nothing was written.", fix=f"ls -ld '{what}'; move it away first")
