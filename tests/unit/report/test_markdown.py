import re

from goldmar.report.page import LIMIT
from goldmar.report.run import markdown

from . import samples


def rendered(*models, verdict=samples.FAILED, **more):
    text = markdown.render(samples.run(*models, **more), verdict)
    assert len(text.encode()) <= LIMIT
    # Every row of a table has as many cells as its title row.
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table.splitlines()
        assert len({row.count("|") for row in rows}) == 1, rows
        assert set(rows[1]) == {"|", "-", " "}
    return text


def test_a_run_that_passes():
    text = rendered(samples.good(), verdict=samples.PASSED)
    assert text.startswith("## goldmar: ✅ passed\n")
    assert "| thickness | 24 | 24 | 0 | 0.000488 | 0.000488 | 21 | 32 |" in text
    assert "<details>" not in text


def test_the_models_that_were_not_compared():
    text = rendered(samples.good(), not_compared=samples.NOT_COMPARED)
    assert "\n1 of 4 models compared; gear: no golden on purpose: no drawings may leave the house a&#124;b" in text
    assert "; not asked for: pin, rim\n" in text


def test_a_run_that_fails():
    text = rendered(samples.good(), samples.bad())
    assert text.startswith("## goldmar: ❌ failed\n")
    assert "- part&#95;class: 3 × different" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert f"<summary>{len(samples.bad().failures)} failures</summary>" in text
    assert "| part&#95;class | a | thickness | 9.60787392 | 9.7 | 0.0921 | 0.001 | different: differs by" in text


def test_the_first_stage_that_differs():
    text = rendered(samples.explained())
    words = "tensor differs in 3.1 % of elements, largest 0.004, after equal decode"
    assert f"| part&#95;class | a | preprocess | {words} |" in text
    assert "| part&#95;class | new | – | nothing kept a&#124;b" in text
    assert text.index("### First stage that differs") < text.index("<details>")
    assert "First stage" not in rendered(samples.bad())
    for mark in ("<img", "`c`", "@user", "\x1b", "\u202e"):
        assert mark not in text


def test_nothing_that_a_model_says_is_markup():
    text = rendered(samples.bad())
    assert "<img" not in text
    assert "a&#124;b" in text
    for mark in ("`c`", "*d*", "@user", "user #1", "[red]", "\x1b", "\x00", "\u202e"):
        assert mark not in text
    assert "&lt;cut&gt;" in text


def test_a_page_stays_below_the_limit():
    golden = {(f"drawing {i}", f"{'name' * 30} {i}"): "w" * 500 for i in range(20_000)}
    text = rendered(samples.model(golden, dict.fromkeys(golden, "g" * 500)), verdict=samples.FAILED)
    assert len(text.encode()) > 0.9 * LIMIT
    left_out = int(re.search(r"… and ([\d,]+) more", text).group(1).replace(",", ""))
    assert left_out + text.count("| thickness | drawing") == 20_000
    assert text.rstrip().endswith("</details>")


def test_many_models_stay_below_the_limit():
    text = rendered(
        *(samples.model({("a", "x"): 1.0}, {("a", "x"): 1.0}, name="m" * 100 + str(i)) for i in range(12_000))
    )
    assert "more" in text


def test_no_models():
    assert "|" not in rendered()
