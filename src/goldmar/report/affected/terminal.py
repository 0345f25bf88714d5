"""For people: each model with why, then what was passed over, both up to a length; --json has all of it."""

from collections.abc import Iterator

from goldmar.records import Selection
from goldmar.text import counted

_REASONS, _SHOWN = 4, 20


def lines(found: Selection) -> Iterator[str]:
    if found.bases:
        since = f"{found.base} ({', '.join(commit[:12] for commit in found.bases)})"
        until = found.head[:12] or "the working tree, what is not committed included"
        yield f"From {since} to {until}: {counted(found.touched, 'path')}"
    if found.everything:
        yield f"Every model is reached, {found.known} in all:"
        yield from (f"  {why}" for why in found.everything[:_SHOWN])
        if len(found.everything) > _SHOWN:
            yield f"  and {counted(len(found.everything) - _SHOWN, 'more reason')}"
    elif found.models:
        yield f"{counted(len(found.models), 'model')} of {found.known}:"
    else:
        yield f"{'No' if found.touched else 'Nothing differs: no'} model of {found.known} is reached."
    for model, reasons in found.models.items():
        yield f"  {model}{': ' if reasons else ''}{'; '.join(reasons[:_REASONS])}"
        if len(reasons) > _REASONS:
            yield f"    and {counted(len(reasons) - _REASONS, 'more reason')}"
    yield from (f"  {model} is deleted: nothing is left to check" for model in found.deleted)
    if found.passed_over:
        yield "Reaches no model:"
        yield from (f"  {path}: {why}" for path, why in found.passed_over[:_SHOWN])
    if len(found.passed_over) > _SHOWN:
        yield f"  and {len(found.passed_over) - _SHOWN} more, which --json lists"
