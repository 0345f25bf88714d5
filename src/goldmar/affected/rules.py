"""The rules: each path that differs reaches some models, none, or, where no rule matches, all."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

from goldmar.affected.git import ChangedPath, Diff, FileType, Status
from goldmar.affected.locks import BESIDE, Difference, compare, needed
from goldmar.affected.recipes import Layout, Models, below, is_part, shown
from goldmar.layout import COMMON, HANDLER, OF_GOLDEN, RECIPE, REQUIREMENTS, model_of_archive
from goldmar.names import is_model_name
from goldmar.patterns import deciding
from goldmar.records import Selection

_T = TypeVar("_T")

IGNORED = (
    "docs/**",
    "**/*.md",
    "**/*.rst",
    "/LICENSE*",
    "/NOTICE*",
    "/.gitignore",
    "/.editorconfig",
    "/CODEOWNERS",
    "/.github/CODEOWNERS",
    "/.github/ISSUE_TEMPLATE/**",
    "/.github/dependabot.yml",
    "/.github/renovate.json",
    "/renovate.json",
    "ci/locks/*.in",
)
"""What reaches no model, whatever the project; [tool.goldmar.affected] ignore adds to it, and takes back by `!`."""

EVERYTHING = {
    "ci/**": "it is part of what CI does",
    "/.gitlab-ci.yml": "it says what CI does",
    ".github/workflows/**": "it says what CI does",
    "src/goldmar/**": "it is goldmar itself",
    "**/*.Containerfile": "images are built by it",
    "**/*Dockerfile*": "images are built by it",
    "ci/wheelhouse": "every image is installed from it",
    "ci/base-image": "every image stands on it",
    "compose/**": "the images of every model are built by it",
}
"""What reaches every model, and why: the last match. So does what is in no list."""

ALWAYS = {
    "pyproject.toml": "it says what is installed and how goldmar works here",
    ".gitmodules": "it says where submodules come from",
}
"""The same, but no project can ignore it."""

ATTRIBUTES = ".gitattributes"


@dataclass(slots=True)
class _Placing:
    """One change, while its paths are placed."""

    change: Diff
    layout: Layout
    models: Models
    before: Models
    ignored: tuple[str, ...]
    reached: dict[str, list[str]] = field(default_factory=dict)
    everything: list[str] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    locks: list[str] = field(default_factory=list)
    users: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # path -> models, and how they use it
    lost: dict[str, set[str]] = field(default_factory=dict)  # folder of a handler -> what was deleted in it

    def __post_init__(self) -> None:
        for source in self.models.sources():
            for path in source.shared | source.requirements.files:
                by = f"which its {RECIPE} lists" if path in source.shared else f"which its {REQUIREMENTS} includes"
                self.users.setdefault(path, []).append((source.name, by))
        for each in self.change.touched:
            if each.status is Status.deleted and (parts := below(each.path, self.layout.handlers)):
                self.lost.setdefault(parts[0], set()).add("/".join(parts[1:]))

    def reach(self, model: str, why: str) -> bool:
        _once(self.reached.setdefault(model, []), why)
        return True

    def reach_all(self, why: str) -> bool:
        _once(self.everything, why)
        return True

    def reach_none(self, path: str, why: str) -> bool:
        _once(self.passed_over, (shown(path), why))
        return True


def select_all(change: Diff, layout: Layout, why: str) -> Selection:
    """Every model of the head."""
    models = Models(change.after, layout)
    models.check()
    names = models.names()
    return Selection(models={name: [] for name in names}, everything=[why], known=len(names))


def select(change: Diff, layout: Layout, earlier: Layout | None = None, doubts: Iterable[str] = ()) -> Selection:
    """Which models a change reaches, and why. Reads both of its sides, and nothing else.

    Args:
        change: what differs.
        layout: where things are on its head, and what its base ignores.
        earlier: where things were on its base, if elsewhere: the models of both are reached.
        doubts: why every model is reached, whatever differs.
    """
    placing = _Placing(
        change, layout, Models(change.after, layout), Models(change.before, layout), (*IGNORED, *layout.rules.ignore)
    )
    placing.models.check()
    placing.everything += doubts
    for touched in change.touched:
        names = change.after.names(touched)
        if names is None:
            placing.reach_all(f"{shown(touched.path)} {touched.status}, and links lead to it in circles")
            continue
        for path in names:
            here = replace(touched, path=path)
            reason = _described(touched) + ("" if path == touched.path else f", where {shown(path)} leads")
            any(rule(placing, here, reason) for rule in RULES)
            # A file of one model may be another's, too.
            if here.status is not Status.mode and _used(placing, here, reason):
                placing.passed_over = [each for each in placing.passed_over if each[0] != shown(path)]
    for path in change.hidden:
        _place_hidden(placing, path)
    for link, why in change.after.blind_links().items():
        if _in_models(link, layout) or deciding(link, placing.ignored) is None:
            placing.reach_all(f"{shown(link)} {shown(why)}: whether that differs cannot be told")
    _place_locks(placing)
    return _finished(placing, earlier)


# ---- one rule for each kind of place; the first that matches wins ----------------------------------------------------


def _always(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """Files that decide about everything cannot be ignored."""
    why = ALWAYS.get(touched.path)
    return why is not None and placing.reach_all(f"{reason}: {why}")


def _attributes(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """.gitattributes: everything below its folder. In a model's folder that model, in an ignored folder none."""
    folder, _, name = touched.path.rpartition("/")
    if name != ATTRIBUTES:
        return False
    for home in (placing.layout.handlers, placing.layout.golden):
        parts = below(touched.path, home)
        if len(parts) > 1 and is_model_name(parts[0]):
            known = parts[0] in placing.models.handlers and home == placing.layout.handlers
            return _reach_or_gone(placing, placing.models.source(parts[0]).name if known else parts[0], reason)
    taken_back = any(pattern.startswith("!") for pattern in placing.ignored)  # and some of the folder may be
    pattern = deciding(f"{folder}/.", placing.ignored) if folder and not taken_back else None
    if pattern is None or _in_models(folder, placing.layout):
        return placing.reach_all(f"{reason}: it changes the bytes of files on their way through git")
    return placing.reach_none(touched.path, f"its folder is ignored by {pattern}")


def _golden(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """Drawings, expected.csv and the rest of golden/<model>: nothing there is ever ignored."""
    parts = below(touched.path, placing.layout.golden)
    if not parts or not is_model_name(parts[0]) or (len(parts) == 1 and touched.kind is FileType.file):
        return False
    if touched.status is Status.mode:
        return placing.reach_none(touched.path, f"{touched.status}: its content is the same")
    return _reach_or_gone(placing, parts[0], reason)


def _shared(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """handlers/common: the models whose archive.toml lists the file, or whose requirements.txt includes it."""
    parts = below(touched.path, placing.layout.handlers)
    if len(parts) < 2 or parts[0] != COMMON or touched.kind is FileType.submodule:
        return False
    if touched.status is Status.mode:
        return placing.reach_none(touched.path, f"{touched.status}: its content is the same")
    used = _used(placing, touched, reason)
    for source in placing.models.sources():
        if source.unknown:
            used = placing.reach(source.name, f"{reason}, and {shown(source.unknown)}")
        elif any(each.startswith(f"{touched.path}/") for each in source.shared):
            used = placing.reach(source.name, f"{reason}, which its {RECIPE} lists")
    return used or placing.reach_none(touched.path, f"no {RECIPE} lists it")


def _handler(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """handlers/<model>: that model, but for what is ignored and does not go into the archive."""
    parts = below(touched.path, placing.layout.handlers)
    if not parts or not is_model_name(parts[0]) or (len(parts) == 1 and touched.kind is FileType.file):
        return False
    folder = parts[0]
    if folder not in placing.models.handlers:
        return _reach_name_before(placing, folder, reason)
    source = placing.models.source(folder)
    in_archive = touched.path in source.shared or (len(parts) == 2 and is_part(parts[1]))
    if not in_archive and (pattern := deciding(touched.path, placing.ignored)):
        return placing.reach_none(touched.path, f"ignored by {pattern}, and not in the archive")
    if touched.status is Status.mode:
        return placing.reach_none(touched.path, f"{touched.status}: its content is the same")
    if parts[1:] == [RECIPE]:
        _reach_called_before(placing, touched, folder, source.name, reason)
    placing.reach(source.name, reason)
    return folder not in placing.models.bare  # the use of a file in a folder without a handler is unknown


def _archive(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """model_store/<model>.mar, where archives are in git: those built elsewhere have no handler here."""
    parts = below(touched.path, placing.layout.model_store)
    model = model_of_archive(parts[0]) if len(parts) == 1 else ""
    return bool(model) and _reach_or_gone(placing, model, reason)


def _used(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """What a model lists or includes, from any folder."""
    for model, how in placing.users.get(touched.path, ()):
        placing.reach(model, f"{reason}, {how}")
    return touched.path in placing.users


def _ignored(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """A pattern such as *.md is for files: it does not ignore what is in a folder of that name."""
    folder = touched.path.rpartition("/")[0]
    ours = (pattern for pattern in IGNORED if pattern.endswith("/**") or not deciding(folder, [pattern]))
    pattern = deciding(touched.path, (*ours, *placing.layout.rules.ignore))
    return pattern is not None and placing.reach_none(touched.path, f"ignored by {pattern}")


def _lock(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    """A lock file is handled later, by the packages that differ."""
    if deciding(touched.path, placing.layout.rules.locks) is None:
        return False
    if touched.kind is not FileType.file or placing.change.after.is_link(touched.path):
        return placing.reach_all(f"{reason}: a lock file that is no plain file")
    _once(placing.locks, touched.path)
    return True


def _known(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    pattern = deciding(touched.path, EVERYTHING)
    return pattern is not None and placing.reach_all(f"{reason}: {EVERYTHING[pattern]}")


def _unplaced(placing: _Placing, touched: ChangedPath, reason: str) -> bool:
    what = " (a submodule, which git does not look into)" if touched.kind is FileType.submodule else ""
    return placing.reach_all(f"{reason}{what}, and what it is for cannot be told")


Rule = Callable[[_Placing, ChangedPath, str], bool]
RULES: tuple[Rule, ...] = (
    _always,
    _attributes,
    _golden,
    _shared,
    _handler,
    _archive,
    _used,
    _ignored,
    _lock,
    _known,
    _unplaced,
)


def _place_hidden(placing: _Placing, path: str) -> None:
    """A file of the working tree that git ignores: it may differ from the base, and no diff shows it."""
    reason = f"{shown(path)} is {Status.ignored}"
    _used(placing, ChangedPath(path, Status.ignored), reason)
    if parts := below(path, placing.layout.golden):
        if len(parts) > 1 and is_model_name(parts[0]) and parts[1] in OF_GOLDEN:
            placing.reach(parts[0], reason)
        return
    parts = below(path, placing.layout.handlers)
    if len(parts) == 2 and is_part(parts[1]) and parts[0] in placing.models.handlers:
        placing.reach(placing.models.source(parts[0]).name, reason)


# ---- lock files -----------------------------------------------------------------------------------------------------


def _place_locks(placing: _Placing) -> None:
    old = placing.change.before.read(placing.locks)
    new = placing.change.after.read(placing.locks)
    for path in placing.locks:
        difference = compare(shown(path), old[path], new[path])
        if difference.everything:
            placing.reach_all(difference.everything)
        elif not difference.changed:
            placing.reach_none(path, "the same packages: only comments, order or white space differ")
        else:
            _place_packages(placing, path, difference)


def _place_packages(placing: _Placing, path: str, difference: Difference) -> None:
    """What an answer depends on: what serves, what handlers require, what goldmar sends and compares it with."""
    placed = set()
    all_models = [(needed("serve") - BESIDE, "which every model is served with")]
    if difference.includes_goldmar:
        all_models.append((needed() - BESIDE, "which goldmar sends or compares answers with"))
    for roots, why in all_models:
        for name, way in difference.reached(roots).items():
            placed.add(name)
            placing.reach_all(f"{difference.changed[name]} in {difference.path}, {why}{_through(way)}")
    tools = difference.only(placing.layout.rules.tools)
    beside = difference.only(BESIDE) if difference.includes_goldmar else frozenset[str]()
    left = difference.changed.keys() - placed
    changed = {name: f"{versions} in {difference.path}" for name, versions in difference.changed.items()}
    reached = cache(difference.reached)  # most models of a repository ask for the same
    for source in placing.models.sources():
        if source.requirements.unknown:
            for name in sorted(left - tools):
                placing.reach(source.name, f"{changed[name]}, and {shown(source.requirements.unknown)}")
            placed |= left & beside
            continue
        for name, way in reached(source.requirements.names).items():
            placed.add(name)
            by = f"{placing.layout.handlers}/{source.folder}/{REQUIREMENTS}"
            placing.reach(source.name, f"{changed[name]}, which {by} asks for{_through(way)}")
    for name in sorted(left - placed):
        if name in tools:
            placing.reach_none(path, f"{difference.changed[name]}: a tool, which no model runs on")
        elif name in beside:
            placing.reach_none(path, f"{difference.changed[name]}: goldmar needs it, and no answer depends on it")
        else:
            why = "which is goldmar itself" if name == "goldmar" else f"which no {REQUIREMENTS} of a model asks for"
            placing.reach_all(f"{changed[name]}, {why}")


def _through(way: str) -> str:
    return f" through {way}" if way else ""


# ---- shared by the rules --------------------------------------------------------------------------------------------


def _finished(placing: _Placing, earlier: Layout | None) -> Selection:
    there, before = placing.models.names(), []
    if earlier is not None:
        there = sorted({*there, *Models(placing.change.after, earlier).names()})
        before = Models(placing.change.before, earlier).names()
    models = {name: placing.reached.get(name, []) for name in there if placing.everything or name in placing.reached}
    return Selection(
        models=models,
        everything=placing.everything,
        deleted=sorted((placing.gone | placing.reached.keys() | set(before)) - set(there)),
        passed_over=placing.passed_over,
        known=len(there),
        touched=len(placing.change.touched),
    )


def _reach_or_gone(placing: _Placing, name: str, reason: str) -> bool:
    """The last path of a model, when it is deleted, deletes the model."""
    if name in placing.models.goldens or name in placing.models.handlers or name in placing.models.names():
        return placing.reach(name, reason)
    placing.gone.add(name)
    return True


def _reach_name_before(placing: _Placing, folder: str, reason: str) -> bool:
    """The model of a deleted folder. One without a handler was a model, too."""
    if folder not in placing.lost:
        return False
    _reach_or_gone(placing, placing.before.source(folder).name, reason)
    return not placing.lost[folder].isdisjoint({"", HANDLER, RECIPE})


def _reach_called_before(placing: _Placing, touched: ChangedPath, folder: str, name: str, reason: str) -> None:
    """archive.toml names the model: the model of the earlier name may have lost its handler."""
    if touched.status in {Status.added, Status.untracked}:
        before = folder if placing.change.before.has_files(f"{placing.layout.handlers}/{folder}") else name
    else:
        before = placing.before.source(folder).name
    if before != name:
        _reach_or_gone(placing, before, reason)


def _in_models(path: str, layout: Layout) -> bool:
    """Whether a path is a folder of the models, or is in one."""
    return any(path == home or below(path, home) for home in (layout.handlers, layout.golden, layout.model_store))


def _described(touched: ChangedPath) -> str:
    path = shown(touched.path)
    return f"{path} is not in git yet" if touched.status is Status.untracked else f"{path} {touched.status}"


def _once(found: list[_T], entry: _T) -> None:
    if entry not in found:
        found.append(entry)
