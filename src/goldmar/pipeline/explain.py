"""Request stages, keep them beside a golden, and compare them with those of the model now."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from goldmar.compare.first_difference import explain
from goldmar.errors import GoldenError, GoldmarError, Interrupted
from goldmar.golden import Recording, read_kept_stages
from goldmar.pipeline.goldens import Golden
from goldmar.pipeline.progress import Progress
from goldmar.predict import NOT_GIVEN, ask_stages
from goldmar.records import Explanation, ModelComparison, Staged
from goldmar.seam import Server

TURN_ON = (
    "list stages.py in archive.toml, set `stages: true` below `handler` in model-config.yaml, build the archive again, "
    "and see that the server does not run with GOLDMAR_STAGES=off"
)


def record_stages(server: Server, golden: Golden, recording: Recording, progress: Progress) -> Path:
    """Ask for the stages of every drawing and write them beside obtained.csv.

    Raises GoldenError where the server does not give them; obtained.csv stays to be looked at, and cannot be approved.
    """
    found = []
    try:
        progress.step(_position(golden, 0, len(golden.drawings)))
        for staged in ask_stages(golden.model, golden.drawings, server, **golden.request.at(server.origin)):
            if staged.problem == NOT_GIVEN:
                msg = f"The model answers {staged.drawing_id} without its stages."
                raise GoldenError(msg, fix=TURN_ON, model=golden.model)
            if staged.problem is not None:
                progress.note(f"{golden.model}: {staged.drawing_id}: {staged.problem}")
            found.append(staged)
            progress.step(_position(golden, len(found), len(golden.drawings)))
    except GoldmarError as error:
        error.detail = error.detail or server.diagnostics()
        error.saved = golden.folder / "obtained.csv"
        raise
    except KeyboardInterrupt as stop:
        raise _interrupted(golden, golden.folder / "obtained.csv") from stop
    return recording.keep_stages(found)


def explain_failures(
    server: Server, golden: Golden, compared: ModelComparison, obtained: Path | None, progress: Progress
) -> tuple[Explanation, ...]:
    """Send the failing drawings again, requesting their stages, and find the first stage that differs for each.

    `obtained` is the file with the answers. An error is reported in place of a stage: it does not change the
    verdict.
    """
    failing = sorted({failure.drawing_id for failure in compared.failures if failure.drawing_id})
    if not failing:
        return ()
    done: list[Explanation] = []
    try:
        progress.step(_position(golden, 0, len(failing)))
        for explanation in _explained(server, golden, failing, read_kept_stages(golden.folder)):
            done.append(explanation)
            progress.step(_position(golden, len(done), len(failing)))
    except KeyboardInterrupt as stop:
        raise _interrupted(golden, obtained) from stop
    except GoldmarError as error:
        explained = {explanation.drawing_id for explanation in done}
        words = f"{error.what} {error.fix or ''}".strip()
        done += [Explanation(drawing, "", words) for drawing in failing if drawing not in explained]
    return tuple(sorted(done, key=lambda explanation: explanation.drawing_id))


def stages_approved(folder: Path) -> str:
    """The stages of a golden that was just approved, in words; empty if it has none."""
    try:
        kept = read_kept_stages(folder)
    except GoldmarError as error:
        return f"{error.what} For `check --explain`: {error.fix}"
    return f"with the stages of {len(kept)} drawings" if kept else ""


def _position(golden: Golden, done: int, drawings: int) -> str:
    return f"{golden.model}: stages of {done} of {drawings} drawings"


def _interrupted(golden: Golden, saved: Path | None) -> Interrupted:
    msg = f"Interrupted while {golden.model} was asked for its stages; its answers are complete."
    return Interrupted(msg, fix="run the same command again", model=golden.model, saved=saved)


def _explained(
    server: Server, golden: Golden, failing: Sequence[str], kept: dict[str, Staged]
) -> Iterator[Explanation]:
    there = {drawing.id: drawing for drawing in golden.drawings}
    ask = []
    for drawing_id in failing:
        if drawing_id not in there:
            yield Explanation(drawing_id, "", "there is no drawing to ask about")
        elif drawing_id not in kept:
            fix = f"goldmar record {golden.model} --stages"
            yield Explanation(drawing_id, "", f"nothing kept for this drawing; {fix}")
        else:
            ask.append(there[drawing_id])
    for staged in ask_stages(golden.model, ask, server, **golden.request.at(server.origin)):
        if not staged.stages:
            words = f"{NOT_GIVEN}: {TURN_ON}" if staged.problem == NOT_GIVEN else f"without stages: {staged.problem}"
            yield Explanation(staged.drawing_id, "", words)
        else:
            yield explain(kept[staged.drawing_id], staged)
