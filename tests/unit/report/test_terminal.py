import io

import pytest
from rich.console import Console

from goldmar.records import Values
from goldmar.report import approval
from goldmar.report.run import terminal

from . import samples


def rendered(*models, verdict=samples.FAILED, width=80, colour=False, **more):
    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=colour, color_system="truecolor" if colour else "auto")
    terminal.render(samples.run(*models, **more), verdict, console)
    text = page.getvalue()
    text.encode()
    return text


def squeezed(text):
    return " ".join(text.split())


def test_a_run_that_passes():
    text = rendered(samples.good(), verdict=samples.PASSED)
    assert "torchserve 0.12.0" in squeezed(text)
    row = next(line for line in text.splitlines() if line.startswith("thickness"))
    assert row.split() == ["thickness", "24", "24", "0", "0.000488", "0.000488", "21/32", "48", "0.000489"]
    assert "nearest to its limit is" in text
    assert text.splitlines()[-1] == "PASSED  1 model, 24 drawings, 24 values in 12.2 s"


@pytest.mark.parametrize("verdict", [samples.PASSED, samples.FAILED])
def test_the_models_that_were_not_compared(verdict):
    text = rendered(samples.good(), samples.nothing(), verdict=verdict, width=200, not_compared=samples.NOT_COMPARED)
    assert "1 of 5 models compared, 24 drawings" in text  # of the second no value was compared
    assert "\n  gear: no golden on purpose: no drawings may leave the house a|b" in text
    assert "\n  not asked for: pin, rim\n" in text
    many = {f"m{number}": "" for number in range(20)}
    assert "m7 and 12 more\n" in rendered(samples.good(), width=200, not_compared=many)
    assert "1 of 1 model compared" in rendered(samples.good(), not_compared={})


def test_a_run_that_fails():
    text = rendered(samples.good(), samples.bad(), width=140)
    for words in (
        "no answer",
        "refused: 400: the TIFF is <cut> short",
        "missing drawing",
        "extra drawing",
        "a gone: in the golden, not in the answer",
        "a new: in the answer, not in the golden",
        "changed type",
        "not finite",
        '"brack|et"',
        "… and 19 more in golden/obtained.csv",
        "FAILED  2 models",
        "2 retries",
        "part_class: 3 × different",
    ):
        assert words in text, words
    row = next(line for line in text.splitlines() if " thickness " in line and "9.7" in line)
    assert row.split() == ["a", "thickness", "9.60787392", "9.7", "0.0921", "0.001"]
    assert "would pass: default  atol = 0.0922 or rtol = 0.00949; none passes 4 values" in text
    assert "would pass: s.* atol = 0.792 or rtol = 0.043" in squeezed(text)


def test_the_first_stage_that_differs():
    text = rendered(samples.explained(), width=140)
    words = "tensor differs in 3.1 % of elements, largest 0.004, after equal decode"
    assert f"  first to differ: preprocess in 2 drawings\n    a, many: {words}\n" in text
    assert "  not explained in 2 drawings\n    new, not asked: nothing kept a|b" in text
    assert text.index("preprocess in 2") < text.index("not explained")
    assert "\x1b" not in text
    assert "first to differ" not in rendered(samples.bad())


def test_many_drawings_are_counted_not_listed():
    many = tuple(samples.Explanation(f"WA-{i}", "decode", f"differs by {i}") for i in range(500))
    text = rendered(samples.replace(samples.bad(), explanations=many))
    assert "first to differ: decode in 500 drawings" in text
    assert "… and 490 more" in text
    assert "WA-11:" not in text


def test_the_suggested_tolerance_passes():
    """Rounded for reading, but upwards."""
    from goldmar.report.words import rounded_up

    for value in (0.0010001, 9.999e-5, 1.0, 0.1234, 7.0000001, 5e-324, 1.7e308, 123456.7):
        assert float(rounded_up(value)) >= value
        assert float(rounded_up(value)) <= value * 1.02 or value < 1e-300


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_column_is_lost(width):
    text = rendered(samples.good(), samples.explained(), width=width)
    assert max(map(len, text.splitlines())) <= width
    header = squeezed(" ".join(text.splitlines()[1:6]))
    for title in (
        "model",
        "drawings",
        "values",
        "failed",
        "worst",
        "absolute",
        "relative",
        "p50/p95",
        "per",
        "passing",
        "atol",
    ):
        assert title in header, title
    for name in ("thickness", "part_class"):
        assert any(line.startswith(name) for line in text.splitlines())


def test_names_are_not_markup_and_control_characters_do_nothing():
    text = rendered(samples.bad(), width=200)
    assert "[red]" in text
    assert "\\x1b[31m\\x00\\udce9\\u202e" in text
    assert "\x1b" not in text
    assert "\x00" not in text


@pytest.mark.parametrize("text", ["[/x]", "[red]r", ":smile:", "[link=https://evil.example]x"])
def test_values_of_a_golden_are_not_markup(text):
    """A text that closes what nobody opened would end the command with a traceback."""
    for sides in ((text, "b"), ("b", text)):
        shown = rendered(samples.model({("a", "x"): sides[0]}, {("a", "x"): sides[1]}), width=140)
        assert f'"{text}"' in shown


def test_colour_on_a_terminal_alone():
    assert "\x1b[" in rendered(samples.bad(), colour=True)
    assert "\x1b[" not in rendered(samples.bad())


def test_values_that_look_alike_get_all_their_digits():
    text = rendered(
        samples.model({("a", "s.x"): 1.0, ("a", "x"): 1e9}, {("a", "s.x"): 1.0, ("a", "x"): 1e9 + 0.0025}), width=160
    )
    assert "1000000000.0025" in text


def test_a_run_without_models_and_one_without_values():
    assert "FAILED" in rendered()
    text = rendered(samples.nothing())
    assert "empty golden" in text
    assert "not asked" in text


def test_no_password():
    assert "secret" not in rendered(samples.good(), url="https://me:secret@models.example/")


def approved(model_result):
    page = io.StringIO()
    approval.render(
        "thickness",
        Values(["a", "a", "b"], ["x", "y", "x"], [1.0, 2.0, 3.0]),
        model_result,
        Console(file=page, width=100),
    )
    return page.getvalue()


def test_what_an_approval_would_change():
    assert approved(None) == "thickness  first golden: 3 values of 2 drawings\n"
    assert "no value changes: 3 values of 2 drawings" in approved(samples.model({("a", "x"): 1.0}, {("a", "x"): 1.0}))
    text = approved(samples.bad())
    assert f"{len(samples.bad().failures)} changes in 5 drawings" in text
    assert "9.60787392" in text
