"""Which models a change reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a change reaches, and the change.

    `models` are those that are reached, sorted by name, each with its own reasons in words; `everything` says why all
    are, and is empty where only some are. `deleted` are models that the change takes away. `passed_over` are paths, or
    packages in one, that reach no model, with the reason. `known` counts the models, `touched` the paths that differ.
    `bases` are the merge bases with `base`, both empty where every model was asked for; `head` is a commit, empty for
    the working tree.
    """

    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    everything: Sequence[str] = ()
    deleted: Sequence[str] = ()
    passed_over: Sequence[tuple[str, str]] = ()
    known: int = 0
    touched: int = 0
    base: str = ""
    bases: Sequence[str] = ()
    head: str = ""
