"""From what was obtained to a golden: the only code that writes a golden."""

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


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `approve` would accept as the golden. `difference` is None for a model's first golden."""

    model: str
    folder: Path
    obtained: Values
    provenance: Provenance
    difference: ModelComparison | None


def propose(project: Project, model: str) -> Proposal:
    """Read what was obtained and compare it with the golden, exactly.

    Raises GoldenError when nothing was obtained, when the last recording did not finish, or when it does not cover the
    drawings that exist now.
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
            f"{folder / 'obtained.csv'} does not fit the drawings that exist now: "
            f"{len(stale)} differ, {sorted(stale)[0]} among them."
        )
        raise GoldenError(msg, fix=f"goldmar record {model}", model=model)
    difference = None
    if (folder / "expected.csv").exists():
        # Exactly: every digit that changes in git has to be approved, within tolerance or not.
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
    """A golden that was just approved. `path` is its expected.csv; `stages` describes the stages approved with it."""

    model: str
    path: Path
    stages: str


def recorded(project: Project, models: Sequence[str]) -> tuple[str, ...]:
    """The models that have a recording to approve; `propose` refuses one that did not finish."""
    return tuple(
        model
        for model in models
        if any((project.golden / model / name).exists() for name in ("obtained.csv", UNFINISHED))
    )


def accept_all(proposals: Sequence[Proposal], *, reason: str, approver: str | None = None) -> Iterator[Accepted]:
    """Accept each of them, one after the other. Errors (see `accept`) name those that were accepted before."""
    models = [proposal.model for proposal in proposals]
    for at, proposal in enumerate(proposals):
        try:
            path = accept(proposal, reason=reason, approver=approver)
        except KeyboardInterrupt as stop:
            when = "while {} was being approved"
            if not (proposal.folder / "obtained.csv").exists():  # removed as the last step of an approval
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
    """Write the golden and its provenance. Returns the path of expected.csv."""
    if not reason.strip():
        msg = "An approval requires a reason, for readers of the git log."
        raise UsageError(msg, fix=f"goldmar approve {proposal.model} --reason 'retrained on 2026 drawings'")
    provenance = replace(
        proposal.provenance,
        reason=reason.strip(),
        approved_by=approver or getpass.getuser(),
        approved_at=datetime.now(UTC).replace(microsecond=0),
    )
    return approve(proposal.folder, provenance)
