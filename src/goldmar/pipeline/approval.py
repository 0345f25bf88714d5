"""From what was obtained to a golden: the only way that a golden is written."""

import getpass
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from goldmar.compare import compare
from goldmar.config import Project, Tolerances, load_tolerances
from goldmar.errors import GoldenError, GoldmarError, Interrupted, UsageError
from goldmar.files import refuse_links
from goldmar.golden import UNFINISHED, approve, read_provenance, read_values, refuse_unfinished
from goldmar.pipeline.explain import stages_approved
from goldmar.pipeline.goldens import drawings_of
from goldmar.pipeline.selection import so_far
from goldmar.records import ModelComparison, Provenance, Values

__all__ = ["Accepted", "Proposal", "accept", "accept_all", "propose", "recorded"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `approve` would make the golden. `difference` is None for a model's first golden."""

    model: str
    folder: Path
    obtained: Values
    provenance: Provenance
    difference: ModelComparison | None


def propose(project: Project, model: str) -> Proposal:
    """Read what was obtained and set it against the golden, exactly.

    Raises GoldenError when nothing was obtained, when the last recording did not come to its end, or when it does not
    cover the drawings that are there now.
    """
    folder = project.golden / model
    refuse_unfinished(folder)
    for name in ("obtained.csv", "obtained.toml"):
        refuse_links(folder / name)
    if not (folder / "obtained.csv").exists():
        msg = f"Nothing to approve: {folder / 'obtained.csv'} is missing."
        raise GoldenError(msg, fix=f"goldmar record {model}", model=model)
    obtained = read_values(folder / "obtained.csv")
    provenance = read_provenance(folder / "obtained.toml")
    there = {drawing.id for drawing in drawings_of(project, model)}
    stale = there.symmetric_difference(obtained.drawing_ids)
    if stale:
        msg = (
            f"{folder / 'obtained.csv'} does not fit the drawings that are there now: "
            f"{len(stale)} differ, {sorted(stale)[0]} among them."
        )
        raise GoldenError(msg, fix=f"goldmar record {model}", model=model)
    difference = None
    if (folder / "expected.csv").exists():
        # Exactly: approving is about every digit that will change in git, within tolerance or not.
        difference = compare(
            read_values(folder / "expected.csv", load_tolerances(folder / "tolerance.toml").columns),
            obtained,
            Tolerances(),
            model=model,
            drawings=sorted(there),
            problems={},
        )
    return Proposal(model, folder, obtained, provenance, difference)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A golden that was just approved. `path` is its expected.csv; `stages` says in words which went with it."""

    model: str
    path: Path
    stages: str


def recorded(project: Project, models: Sequence[str]) -> tuple[str, ...]:
    """Those of the models that have a recording waiting; one that did not come to its end is refused by `propose`."""
    return tuple(
        model
        for model in models
        if any((project.golden / model / name).exists() for name in ("obtained.csv", UNFINISHED))
    )


def accept_all(proposals: Sequence[Proposal], *, reason: str, approver: str | None = None) -> Iterator[Accepted]:
    """Make each of them the golden, one after the other. What it raises (see `accept`) says which were done before."""
    models = [proposal.model for proposal in proposals]
    for at, proposal in enumerate(proposals):
        try:
            path = accept(proposal, reason=reason, approver=approver)
        except KeyboardInterrupt as stop:
            when = "while {} was being approved"
            if not (proposal.folder / "obtained.csv").exists():  # the last thing that an approval needs
                at, when = at + 1, "once {} was approved"
            fix = f"goldmar approve {' '.join(models[at:])} --reason '...'" if models[at:] else None
            raise Interrupted(
                f"Interrupted {when.format(proposal.model)}.",
                fix=fix,
                model=proposal.model,
                detail=so_far("approved", models, at),
            ) from stop
        except GoldmarError as error:
            error.add_detail(so_far("approved", models, at))
            raise
        yield Accepted(proposal.model, path, stages_approved(proposal.folder))


def accept(proposal: Proposal, *, reason: str, approver: str | None = None) -> Path:
    """Make it the golden, with provenance. Returns the path of expected.csv."""
    if not reason.strip():
        msg = "An approval needs a reason: whoever reads the git log will want it."
        raise UsageError(msg, fix=f"goldmar approve {proposal.model} --reason 'retrained on 2026 drawings'")
    provenance = replace(
        proposal.provenance,
        reason=reason.strip(),
        approved_by=approver or getpass.getuser(),
        approved_at=datetime.now(UTC).replace(microsecond=0),
    )
    return approve(proposal.folder, provenance)
