"""A change as git knows it: the files that differ between a base and a head, and the files of both sides.

Four or five git processes in all, for any number of models. Names are read with `-z`: a path may contain anything but
a NUL.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from goldmar.affected.links import Links, follow
from goldmar.errors import NotStartedError, UsageError
from goldmar.files import read_whole
from goldmar.layout import did_you_mean
from goldmar.process import Completed, run

_LINK, _SUBMODULE = "120000", "160000"
_PLAIN = {"100644", "100755"}

# Changes are found by size and times, as carefully as git can, and not by a file system monitor.
_STATS = ("core.trustctime=true", "core.checkStat=default", "core.fsmonitor=false", "core.untrackedCache=false")

# Independent of the user's configuration for diffs.
_DIFF_OPTIONS = ("--raw", "-z", "--no-abbrev", "--no-renames", "--ignore-submodules=none")


class Status(StrEnum):
    """What happened to a path. A rename is a deletion and an addition."""

    added = "added"
    changed = "changed"
    deleted = "deleted"
    mode = "made executable, or no longer"
    untracked = "not in git yet"
    ignored = "ignored by git: nobody can tell whether it differs"


class FileType(StrEnum):
    """The type of a path, before or after the change."""

    file = "file"
    link = "link"
    submodule = "submodule"


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """A path that differs: below the project's root, with "/"; `../` in front where it lies outside."""

    path: str
    status: Status
    kind: FileType = FileType.file


@dataclass(frozen=True, slots=True)
class Tree:
    """One side of a diff: a commit, or the working tree (`commit` is empty).

    `entries` maps the paths below the given folders to their type.
    """

    commit: str
    entries: Mapping[str, FileType]
    _repository: "_Repository"
    _links: Links = field(default_factory=Links)

    def read(self, paths: Iterable[str]) -> dict[str, bytes | None]:
        """The content of files, by path; None where there is no file. Of a link in a commit: its target."""
        wanted = list(paths)
        if not self.commit:
            return {path: self._repository.on_disk(path) for path in wanted}
        return self._repository.blobs(self.commit, wanted)

    def has_files(self, folder: str) -> bool:
        """Whether there are files below a folder, given or not."""
        return any(self._repository.listing(self.commit, [self._repository.from_top(folder)]))

    def names(self, touched: ChangedPath) -> list[str] | None:
        """The path and its names through links; None where these lead in circles."""
        names = self._links.names(self._repository.from_top(touched.path))
        return names and [self._repository.to_root(name) for name in names]

    def is_link(self, path: str) -> bool:
        """Whether a path is a link, or leads through one."""
        return self._links.covers(self._repository.from_top(path))

    def blind_links(self) -> dict[str, str]:
        """The links in the project that cannot be followed in what git knows, and why."""
        found = {self._repository.to_root(link): why for link, why in self._links.blind.items()}
        return {link: why for link, why in found.items() if not link.startswith("../")}


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between `before` and `after`, sorted by path.

    `hidden` are the files of the working tree below the given folders that git ignores.
    """

    before: Tree
    after: Tree
    touched: tuple[ChangedPath, ...]
    hidden: tuple[str, ...] = ()


def read_changes(root: Path, base: str, head: str | None, folders: Iterable[str], *, both: bool = False) -> list[Diff]:
    """The change from the merge base of `base` and the head to the head, as a pull request shows it.

    Where two branches crossed there are several merge bases, and a change for each.

    Args:
        root: the project's root, anywhere in a repository.
        base: the commit or branch that the change goes into.
        head: the commit or branch that holds it; None for the working tree, with what is not committed and what is
            not even in git, unless it is ignored.
        folders: where the models are, relative to the root; `Tree.entries` lists what is below them.
        both: list them for the merge base, too.

    Raises:
        UsageError: there is no git, no repository, no such commit, or no merge base in a clone this shallow.
    """
    repository = _Repository.at(root)
    tip = "HEAD" if head is None else head
    places = [repository.from_top(folder) for folder in folders]
    bases = repository.merge_bases(base, tip)
    commit = repository.commit(tip) if head is not None else ""
    untracked, hidden = ([], ()) if commit else (repository.untracked(), repository.ignored(places))
    unwatched = [] if commit else list(repository.unwatched())
    changes = []
    for merge_base in bases:
        touched = {path: ChangedPath(path, Status.changed, kind) for path, kind in unwatched}
        touched |= {each.path: each for each in repository.differing(merge_base, commit)}
        gone = {path for path, each in touched.items() if each.status is Status.deleted}
        for path in untracked:
            # Removed from the index and still on disk: git says deleted and untracked, but it is changed at most.
            status = Status.changed if path in touched else Status.untracked
            touched[path] = ChangedPath(path, status, FileType.link if repository.is_link(path) else FileType.file)
            gone.discard(path)
        entries = {path: kind for path, kind in repository.listing(commit) if path not in gone}
        entries |= {path: touched[path].kind for path in untracked}
        listed = {path: kind for path, kind in entries.items() if repository.is_below(path, places)}
        after = Tree(commit, listed, repository, repository.links(commit, entries))
        earlier = dict(repository.listing(merge_base, places)) if both else {}
        before = Tree(merge_base, earlier, repository)
        changes.append(Diff(before, after, tuple(touched[path] for path in sorted(touched)), tuple(hidden)))
    return changes


def read_tree(root: Path, head: str | None, folders: Iterable[str]) -> Diff:
    """The head alone, as a change in which nothing differs. Arguments and errors as those of `read_changes`."""
    repository = _Repository.at(root)
    places = [repository.from_top(folder) for folder in folders]
    commit = repository.commit(head) if head is not None else ""
    untracked = [] if commit else [path for path in repository.untracked() if repository.is_below(path, places)]
    entries = dict(repository.listing(commit, places))
    if not commit:
        entries = {path: kind for path, kind in entries.items() if os.path.lexists(root / path)}
        entries |= {path: FileType.link if repository.is_link(path) else FileType.file for path in untracked}
    tree = Tree(commit, entries, repository)
    return Diff(tree, tree, ())


def read_file(root: Path, ref: str, path: str) -> bytes | None:
    """What a commit or branch has at a path below the project's root; None where it has no file there.

    Raises UsageError as `read_changes` does.
    """
    repository = _Repository.at(root)
    return repository.blobs(repository.commit(ref), [path])[path]


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository and the place of the project in it. Paths given and taken are relative to the project's root."""

    root: Path
    top: Path
    prefix: PurePosixPath
    shallow: bool
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def at(cls, root: Path) -> "_Repository":
        # No lock and no optional index: a commit may run at the same time. Replacements of commits are not used.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_LITERAL_PATHSPECS": "1"}
        environment |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
        done = _git(root, environment, "rev-parse", "--is-shallow-repository", "--show-prefix", "--show-toplevel")
        if done.code:
            raise _no_repository(root, done.stderr)
        shallow, prefix, top = os.fsdecode(done.stdout).split("\n", 2)
        return cls(root, Path(top.removesuffix("\n")), PurePosixPath(prefix), shallow == "true", environment)

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """Standard output of a git command that is expected to work."""
        done = _git(self.top, self.environment, *arguments, stdin=stdin)
        if done.code:
            raise UsageError(
                f"git {arguments[0]} failed in {self.top}.",
                fix=f"git -C '{self.top}' status",
                detail=os.fsdecode(done.stderr),
            )
        return done.stdout

    # ---- commits

    def commit(self, ref: str) -> str:
        done = _git(self.top, self.environment, "rev-parse", "--verify", f"{ref}^{{commit}}")
        if done.code:
            raise self._unknown(ref)
        return os.fsdecode(done.stdout).strip()

    def merge_bases(self, base: str, tip: str) -> list[str]:
        theirs, ours = self.commit(base), self.commit(tip)
        done = _git(self.top, self.environment, "merge-base", "--all", theirs, ours)
        if done.code == 0:
            return os.fsdecode(done.stdout).split()
        if self.shallow:
            raise UsageError(
                f"This clone is shallow and does not reach back to where {tip} left {base}.",
                fix="git fetch --deepen=200, or git fetch --unshallow; in GitHub's checkout action: fetch-depth: 0",
            )
        raise UsageError(
            f"{base} and {tip} have no commit in common, so there is no change from one to the other.",
            fix="--base with the branch that this one was made from",
        )

    def _unknown(self, ref: str) -> UsageError:
        if ref == "HEAD" or _git(self.top, self.environment, "rev-parse", "--verify", "HEAD").code:
            return UsageError(f"There is no commit in {self.top} yet.", fix="git add -A && git commit")
        more = " This clone is shallow: it may lie further back." if self.shallow else ""
        name = ref.removeprefix("origin/")
        what = f"{ref!r} is no commit or branch of {self.top}.{more}"
        branches = os.fsdecode(self.run("for-each-ref", "--format=%(refname:short)", "refs/heads")).split()
        if branches and name == ref and not self.run("remote"):
            near = did_you_mean(ref, branches)
            return UsageError(f"{what}{near}", fix=f"--base with a branch that is there: {', '.join(branches[:5])}")
        return UsageError(
            what,
            fix=f"git fetch origin {name}:refs/remotes/origin/{name}, then --base origin/{name}"
            + ("; git fetch --unshallow for the whole history" if self.shallow else ""),
        )

    # ---- what differs

    def differing(self, base: str, commit: str) -> Iterator[ChangedPath]:
        """`git diff --raw` against a commit, or against the working tree where `commit` is empty."""
        output = self.run("diff", *_DIFF_OPTIONS, base, *([commit] if commit else []), "--")
        fields = iter(os.fsdecode(output).split("\0"))
        for head in fields:
            if not head:
                continue
            path = self.to_root(next(fields))
            old_mode, new_mode, old_oid, new_oid, status = head.lstrip(":").split(" ")
            if status[0] in "AD":
                yield ChangedPath(path, Status.added if status[0] == "A" else Status.deleted, _kind(new_mode, old_mode))
            elif {old_mode, new_mode} <= _PLAIN and old_mode != new_mode and self._same(path, old_oid, new_oid):
                yield ChangedPath(path, Status.mode)
            else:
                yield ChangedPath(path, Status.changed, _kind(new_mode, old_mode))

    def _same(self, path: str, old: str, new: str) -> bool:
        """Whether the contents are the same; git does not hash what is only in the working tree."""
        if set(new) != {"0"}:
            return old == new
        content = self.on_disk(path)
        if content is None:
            return False
        hashed = hashlib.new("sha1" if len(old) == 40 else "sha256", usedforsecurity=False)
        hashed.update(b"blob %d\0" % len(content) + content)
        return hashed.hexdigest() == old

    def untracked(self) -> list[str]:
        output = os.fsdecode(self.run("ls-files", "-z", "--others", "--exclude-standard"))
        # A repository inside this one is listed as a folder, with a slash at its end.
        return [self.to_root(path.rstrip("/")) for path in output.split("\0") if path]

    def unwatched(self) -> Iterator[tuple[str, FileType]]:
        """Changed files that git does not look at (update-index --assume-unchanged, --skip-worktree).

        Those that a sparse checkout leaves out are not on disk, and count as unchanged.
        """
        for entry in os.fsdecode(self.run("ls-files", "-v", "-s", "-z")).split("\0"):
            if entry[:1] == "S" or entry[:1].islower():
                about, name = entry.split("\t", 1)
                tag, mode, oid, _ = about.split(" ")
                path = self.to_root(name)
                absent = not os.path.lexists(self.root / path)
                if (absent and tag in "Ss") or (_kind(mode, mode) is FileType.file and self._same(path, oid, "0")):
                    continue
                yield path, _kind(mode, mode)

    def ignored(self, places: list[str]) -> list[str]:
        """Files that git ignores, without those of Python's cache."""
        output = os.fsdecode(self.run("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *places))
        return [self.to_root(path) for path in output.split("\0") if path and "/__pycache__/" not in path]

    # ---- what is there

    def listing(self, commit: str, places: Sequence[str] = ()) -> Iterator[tuple[str, FileType]]:
        if commit:
            output = self.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *places)
        else:
            output = self.run("ls-files", "-s", "-z", "--", *places)
        for entry in os.fsdecode(output).split("\0"):
            if entry:
                about, path = entry.split("\t", 1)
                mode = about.split(" ", 1)[0]
                yield self.to_root(path), _kind(mode, mode)

    def links(self, commit: str, entries: Mapping[str, FileType]) -> Links:
        """Where the links among the entries lead."""
        links = [path for path, kind in entries.items() if kind is FileType.link]
        if not links:
            return Links()
        contents = self.blobs(commit, links) if commit else {path: _target(self.root / path) for path in links}
        targets = {self.from_top(path): None if to is None else os.fsdecode(to) for path, to in contents.items()}
        submodules = [self.from_top(path) for path, kind in entries.items() if kind is FileType.submodule]
        return follow(targets, [self.from_top(path) for path in entries], submodules)

    def is_link(self, path: str) -> bool:
        return (self.root / path).is_symlink()

    def on_disk(self, path: str) -> bytes | None:
        try:
            return read_whole(self.root / path)
        except OSError:
            return None

    def blobs(self, commit: str, paths: list[str]) -> dict[str, bytes | None]:
        """Contents in a commit, by one `git cat-file --batch`; of a link its target."""
        if not paths:
            return {}
        oids = self._oids(commit, paths)
        found: dict[str, bytes | None] = dict.fromkeys(paths)
        there = [path for path in paths if path in oids]
        output = self.run("cat-file", "--batch", stdin="".join(f"{oids[path]}\n" for path in there).encode())
        at = 0
        for path in there:
            end = output.index(b"\n", at)
            _, kind, size = output[at:end].split(b" ")
            found[path] = output[end + 1 : end + 1 + int(size)] if kind == b"blob" else None
            at = end + 1 + int(size) + 1
        return found

    def _oids(self, commit: str, paths: list[str]) -> dict[str, str]:
        # ls-tree, because cat-file would end a name at a newline.
        output = self.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *map(self.from_top, paths))
        entries = (entry.split("\t", 1) for entry in os.fsdecode(output).split("\0") if entry)
        return {self.to_root(path): about.split(" ")[2] for about, path in entries if about.split(" ")[1] == "blob"}

    # ---- paths

    def to_root(self, path: str) -> str:
        """From the top of the repository to the root of the project."""
        if not self.prefix.parts:
            return path
        return os.path.relpath(path, self.prefix)

    def from_top(self, path: str | Path) -> str:
        """From the root of the project to the top of the repository."""
        return os.path.normpath(self.prefix / path if self.prefix.parts else path)

    def is_below(self, path: str, places: list[str]) -> bool:
        at = self.from_top(path)
        return any(place == "." or at == place or at.startswith(f"{place}/") for place in places)


def _git(folder: Path, environment: Mapping[str, str], *arguments: str, stdin: bytes | None = None) -> Completed:
    try:
        command = ["git", *(part for setting in _STATS for part in ("-c", setting)), *arguments]
        return run(command, cwd=folder, env=environment, stdin=stdin or b"", kept=False)
    except NotStartedError as error:
        if not error.missing:
            raise
        msg = "What a change reaches is read from git, and there is no git on this machine."
        raise UsageError(msg, fix="apt-get install git") from None


def _no_repository(root: Path, stderr: bytes) -> UsageError:
    words = os.fsdecode(stderr)
    if "dubious ownership" in words:
        return UsageError(
            f"git refuses {root}: it belongs to somebody else.",
            fix=f"git config --global --add safe.directory '{root}'",
        )
    if "not a git repository" in words:
        return UsageError(f"{root} is in no git repository.", fix="run this in a clone, or git init")
    return UsageError(f"git cannot be asked about {root}.", fix="run this in the work tree of a clone", detail=words)


def _kind(new_mode: str, old_mode: str) -> FileType:
    """A submodule or link on either side decides: a folder that became a submodule is one."""
    for mode, kind in ((_SUBMODULE, FileType.submodule), (_LINK, FileType.link)):
        if mode in {new_mode, old_mode}:
            return kind
    return FileType.file


def _target(path: Path) -> bytes | None:
    try:
        return os.fsencode(os.readlink(path))  # noqa: PTH115, a Path would lose a slash at its end
    except OSError:
        return None
