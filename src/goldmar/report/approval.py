"""What an approval would change, for the person who is asked."""

from rich.console import Console

from goldmar.records import ModelComparison, Values
from goldmar.report import words
from goldmar.report.run.terminal import failures
from goldmar.report.screen import line
from goldmar.text import counted


def render(model: str, obtained: Values, difference: ModelComparison | None, console: Console) -> None:
    """Print what would become of the golden of a model; `difference` is None where there is no golden yet."""
    size = f"{counted(len(obtained), 'value')} of {counted(len(set(obtained.drawing_ids)), 'drawing')}"
    if difference is None:
        told = f"first golden: {size}"
    elif not difference.failures:
        told = f"no value changes: {size} equal the golden to the last digit"
    else:
        told = f"{counted(len(difference.failures), 'change')} in {words.failed_drawings(difference)}"
    console.print(line((model, "bold"), f"  {told}"))
    for part in failures(difference, at_most=20) if difference else ():
        console.print(part)
