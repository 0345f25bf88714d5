"""Where the links of a tree lead: followed by component, as the kernel does, within what git knows."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

_HOPS = 40  # the kernel's own limit for one path
_NAMES = 10_000  # of one path through links; more count as a circle


@dataclass(frozen=True, slots=True)
class Links:
    """The links of a tree, by what they depend on. All paths are below the top of the repository.

    `places` maps a path to the links that lead to it, or lead through it as another link; `blind` has the links that
    cannot be followed in what git knows, and why: what they give may differ without git knowing.
    """

    places: Mapping[str, list[str]] = field(default_factory=dict)
    blind: Mapping[str, str] = field(default_factory=dict)

    def covers(self, path: str) -> bool:
        """Whether a path is a link, or leads through one."""
        every = {*self.blind, *(link for links in self.places.values() for link in links)}
        return any(path == link or path.startswith(f"{link}/") for link in every)

    def names(self, path: str) -> list[str] | None:
        """A path, and each name that it has through links; None where they lead in circles.

        Links into a submodule, where git does not look, are links to the submodule as well.
        """
        found = {path: 0}
        waiting = deque(found)
        while waiting:
            name = waiting.popleft()
            parts, hops = name.split("/"), found[name] + 1
            if hops > _HOPS:
                continue  # no file can be opened by such a name
            for length in range(len(parts) + 1):
                for link in self.places.get("/".join(parts[:length]), ()):
                    alias = "/".join([link, *parts[length:]])
                    if alias not in found:
                        found[alias] = hops
                        waiting.append(alias)
            if len(found) > _NAMES:
                return None
        return list(found)


def follow(targets: Mapping[str, str | None], paths: Collection[str], submodules: Iterable[str]) -> Links:
    """Follow links.

    Args:
        targets: the path of each link, and what is written in it; None where it could not be read.
        paths: every path that git has on this side; folders are what lies above them.
        submodules: those of them that git does not look into.
    """
    if not targets:
        return Links()
    known = {*paths, *submodules}
    folders = {path[:at] for path in known for at, letter in enumerate(path) if letter == "/"}
    walk = _Walk(targets, known, folders, frozenset(submodules))
    places: dict[str, list[str]] = {}
    blind = {}
    for link in targets:
        leads_to, why = walk.along(link)
        if why:
            blind[link] = why
        for place in leads_to:
            places.setdefault(place, []).append(link)
    return Links(places, blind)


@dataclass(frozen=True, slots=True)
class _Walk:
    targets: Mapping[str, str | None]
    known: Collection[str]
    folders: Collection[str]
    submodules: Collection[str]

    def along(self, link: str) -> tuple[list[str], str]:
        """The places that a link depends on, its end and the links on the way; and why it cannot be followed."""
        at, todo = link.split("/"), deque[str]()
        passed: list[str] = []
        hops = 0
        while True:
            here = "/".join(at)
            if here in self.targets:
                target = self.targets[here]
                if target is None:
                    return passed, "is a link in git and none on disk"
                if here != link:
                    passed.append(here)
                if target.startswith("/"):
                    return passed, "leads to an absolute path, which is another one on each machine"
                hops += 1
                if hops > _HOPS:
                    return list(dict.fromkeys(passed)), "leads in circles"
                todo.extendleft(reversed(target.split("/")))
                at.pop()
            elif here in self.submodules:
                return [*passed, here, *(["/".join((here, *todo))] if todo else [])], ""
            elif at and here not in self.known and here not in self.folders:
                return passed, f"leads to {here}, of which git knows nothing"
            while todo and todo[0] in ("", "."):
                todo.popleft()
            if not todo:
                return [*passed, "/".join(at)], ""
            part = todo.popleft()
            if part != "..":
                at.append(part)
            elif at:
                at.pop()
            else:
                return passed, "leads out of the repository"
