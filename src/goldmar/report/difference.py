"""What an approval would change, for the person who is asked."""

from rich.console import Console
from rich.text import Text

from goldmar.records import ModelResult, Values
from goldmar.report import words
from goldmar.report.terminal import offenders

__all__ = ["render"]


def render(model: str, obtained: Values, difference: ModelResult | None, console: Console) -> None:
    """Print what would become of the golden of a model; `difference` is None where there is no golden yet."""
    drawings = len(set(obtained.drawing_ids))
    size = f"{words.counted(len(obtained), 'value')} of {words.counted(drawings, 'drawing')}"
    name = (words.clean(model), "bold")
    if difference is None:
        console.print(Text.assemble(name, f"  first golden: {size}"))
    elif not difference.failures:
        console.print(Text.assemble(name, f"  no value changes: {size} equal the golden to the last digit"))
    else:
        changed = words.counted(len(difference.failures), "change")
        console.print(
            Text.assemble(name, f"  {changed} in {words.counted(words.failed_drawings(difference), 'drawing')}")
        )
        offenders(difference, console, at_most=20)
