"""What a bisection found, in words: whatever packages, drawings and resolvers are called."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from goldmar.records import Bisection, Comparison, CulpritSet, DifferenceKind, Trial, TrialOutcome
from goldmar.report.bisection import json as bisection_json
from goldmar.report.bisection import markdown, terminal
from goldmar.report.page import LIMIT

GREEN, RED = TrialOutcome.GREEN, TrialOutcome.RED
FAILURE = Comparison(DifferenceKind.DIFFERENT, "a|b/[red]x", "scores.*", want=1.0, got=1.5, difference=0.5, allowed=0.1)
TEXT = Comparison(DifferenceKind.DIFFERENT, "c", "label", want="<b>flange</b>", got="@somebody")

GOOD = Trial((), GREEN, 0.0, seconds=2.0)
BAD = Trial(("numpy", "pillow", "rich"), RED, 5.0, (("m", FAILURE),), {"m": ("a|b/[red]x",)}, seconds=3.0)
CULPRIT = replace(BAD, taken=("pillow",))
REST = Trial(("numpy", "rich"), GREEN, 0.25)

ONE = Bisection(
    good=Path("good.txt"),
    bad=Path("bad.txt"),
    models=("m",),
    changes={"numpy": ("1.0", "2.0"), "pillow": ("12.0", "13.0"), "rich": (None, "1.0")},
    trials=(GOOD, BAD, CULPRIT, REST),
    culprits=(CulpritSet(("pillow",), CULPRIT, {"pillow": GOOD}),),
    rest=REST,
    seconds=12.3,
)


def shown(found: Bisection, width: int = 200) -> str:
    stream = io.StringIO()
    terminal.render(found, Console(file=stream, width=width))
    return " ".join(stream.getvalue().split())


def test_one_culprit_is_named_with_its_versions_and_the_values_that_move():
    text = shown(ONE)
    assert "FOUND pillow 12.0 → 13.0 turns the check red" in text
    assert "m a|b/[red]x scores.* 1.0 1.5 0.5 0.1" in text
    assert "1 drawing of m fail" in text
    assert "all but pillow green 0.25×" in text
    assert "bad.txt without it: green, worst value 0.25× of what is allowed" in text
    assert "3 changes · 4 environments tried · 12 s" in text
    page = markdown.render(ONE)
    assert page.startswith("## goldmar bisect: ❌ pillow 12.0 → 13.0 turns the check red\n")
    assert "| m | a&#124;b/&#91;red&#93;x | scores.&#42; | 1.0 | 1.5 | 0.5 | 0.1 |" in page
    assert "<summary>4 candidates tried</summary>" in page


def test_a_drawing_that_was_refused_is_named_with_the_reason():
    refused = Comparison(DifferenceKind.NO_ANSWER, "a/b", detail="The model refuses it (status 400): no TIFF.")
    trial = replace(CULPRIT, failures=(("m", refused),))
    found = replace(ONE, culprits=(CulpritSet(("pillow",), trial),))
    assert "m a/b: The model refuses it (status 400): no TIFF." in shown(found)
    assert "- m a/b: The model refuses it (status 400): no TIFF." in markdown.render(found)


def test_packages_that_come_and_go_are_said_so():
    found = replace(ONE, changes={"numpy": ("1.0", None), "pillow": (None, "13.0"), "rich": ("1", "2")})
    assert "pillow 13.0 added turns the check red" in shown(found)
    gone = replace(found, culprits=(CulpritSet(("numpy",), replace(CULPRIT, taken=("numpy",))),))
    assert "numpy removed turns the check red" in shown(gone)


def test_several_add_up_or_do_nothing_alone():
    half = replace(CULPRIT, outcome=GREEN, worst=0.6, failures=(), failed={})
    nothing = replace(half, worst=0.0)
    both = replace(BAD, taken=("numpy", "pillow"))

    def of(alone: Trial) -> str:
        culprit = CulpritSet(
            ("numpy", "pillow"),
            both,
            {"numpy": replace(alone, taken=("pillow",)), "pillow": replace(alone, taken=("numpy",))},
            {"numpy": replace(alone, taken=("numpy",)), "pillow": replace(alone, taken=("pillow",))},
        )
        return shown(replace(ONE, culprits=(culprit,)))

    assert "each adds a part: none reaches the limit alone, together they exceed it" in of(half)
    assert "numpy: alone green, worst value 0.6× of what is allowed" in of(half)
    assert "each adds a part" not in of(nothing)
    assert "numpy 1.0 → 2.0 with pillow 12.0 → 13.0 turns the check red" in of(nothing)


def test_those_that_only_move_together_are_told_from_those_that_only_fail_together():
    culprit = CulpritSet(("numpy", "pillow"), replace(BAD, taken=("numpy", "pillow")), {"numpy": None, "pillow": None})
    together = {
        "numpy": (("pillow",), "Because numpy==2.0 depends on pillow==13.0"),
        "pillow": (("numpy",), "likewise"),
    }
    found = replace(ONE, culprits=(culprit,), together=together, refused=3)
    text = shown(found)
    assert "numpy: cannot be installed without pillow; the others cannot be installed without it" in text
    assert "numpy moves only with pillow: Because numpy==2.0 depends on pillow==13.0" in text
    assert "3 candidates skipped that cannot be installed" in text
    assert json.loads(bisection_json.render(found))["together"]["numpy"]["needs"] == ["pillow"]


def test_what_is_not_proven_is_not_claimed():
    culprit = replace(ONE.culprits[0], proven=False)
    assert "not proven that all of them are needed" in shown(replace(ONE, culprits=(culprit,)))
    assert "not proven" not in shown(ONE)


def test_several_culprits_that_fail_each_for_itself():
    other = CulpritSet(("numpy",), replace(CULPRIT, taken=("numpy",)))
    rest = replace(REST, taken=(), outcome=RED, worst=2.0)
    text = shown(replace(ONE, culprits=(*ONE.culprits, other), rest=rest))
    assert "pillow 12.0 → 13.0 and numpy 1.0 → 2.0 turn the check red, each for itself" in text
    assert "bad.txt without them and what needs them (rich): red, worst value 2× of what is allowed" in text


def test_a_broken_worker_is_shown_with_its_words():
    broken = Trial(
        ("pillow",), TrialOutcome.BROKEN, None, reason="The worker of m died: ImportError: no\nTraceback ..."
    )
    found = replace(ONE, culprits=(CulpritSet(("pillow",), broken),), trials=(GOOD, broken))
    text = shown(found)
    assert "pillow 12.0 → 13.0 breaks the models" in text
    assert "The worker of m died: ImportError: no" in text
    assert "Traceback" not in text
    assert json.loads(bisection_json.render(found))["culprits"][0]["trial"]["reason"].endswith("Traceback ...")


def test_nothing_found_is_no_failure():
    found = replace(ONE, culprits=(), trials=(GOOD, replace(BAD, outcome=GREEN)), rest=GOOD)
    assert "GREEN bad.txt is green: there is nothing to find among 3 changes" in shown(found)
    assert markdown.render(found).startswith("## goldmar bisect: ✅ ")
    assert json.loads(bisection_json.render(found))["found"] is False


def test_what_no_tolerance_reaches_is_said_and_json_stays_json():
    text_failure = replace(CULPRIT, worst=math.inf, failures=(("m", TEXT),))
    nan = replace(FAILURE, got=math.nan, difference=math.inf)
    found = replace(
        ONE,
        trials=(GOOD, replace(BAD, failures=(("m", nan),))),
        culprits=(CulpritSet(("pillow",), text_failure, {"pillow": GOOD}),),
    )
    page = markdown.render(found)
    assert "&lt;b&gt;flange" in page
    assert "<b>" not in page
    assert "@somebody" not in page
    report = json.loads(bisection_json.render(found), parse_constant=lambda name: 1 / 0)
    assert report["culprits"][0]["trial"]["worst"] == "inf"
    assert report["trials"][1]["failures"][0]["got"] == "nan"
    assert "beyond any" in shown(replace(found, trials=(text_failure,)))


def test_trials_of_an_earlier_run_are_counted_apart():
    found = replace(
        ONE, trials=(replace(GOOD, remembered=True), BAD, replace(REST, outcome=TrialOutcome.UNINSTALLABLE))
    )
    assert "2 environments tried, 1 of them in an earlier run" in shown(found)
    report = json.loads(bisection_json.render(found))
    assert (report["environments"], report["remembered"]) == (2, 1)


def test_what_is_kept_and_what_is_for_others_is_told():
    """Written or not, and why; the table of trials names the same candidate once more for the file."""
    kept = replace(ONE, keep_rest=Path("kept.txt"), kept=REST, held_back=("pillow",), kept_text="numpy==2.0\n")
    assert "kept.txt keeps 2 of 3 changes and holds back pillow: its content was checked, and is green" in shown(kept)
    assert json.loads(bisection_json.render(kept))["kept"]["written"] is True
    red = replace(kept, kept=replace(REST, outcome=RED, worst=3.0), kept_text="")
    assert "kept.txt is not written: with pillow held back it is red, worst value 3×" in shown(red)
    assert json.loads(bisection_json.render(red))["kept"]["written"] is False
    assert json.loads(bisection_json.render(ONE))["kept"] is None
    fewer = replace(ONE, not_compared={"rim": "secret", "pin": ""})
    assert "rim: no golden on purpose: secret not asked for: pin" in shown(fewer)
    assert "- rim: no golden on purpose: secret\n- not asked for: pin\n" in markdown.render(fewer)
    assert json.loads(bisection_json.render(fewer))["not_compared"] == [
        {"model": "rim", "no_golden_on_purpose": True, "why": "secret"},
        {"model": "pin", "no_golden_on_purpose": False, "why": "not asked for"},
    ]
    others = replace(ONE, elsewhere=('torch==2.1 ; platform_machine == "aarch64"',))
    assert 'not tried here: torch==2.1 ; platform_machine == "aarch64"' in shown(others)


def test_two_files_that_say_the_same_are_two_trials():
    same = replace(ONE, changes={}, trials=(GOOD, replace(GOOD, seconds=3.0)), culprits=(), rest=GOOD)
    text = shown(same)
    assert "nothing: the good lock file green" in text
    assert "everything: the bad lock file green" in text


def test_an_environment_that_is_asked_twice_is_one():
    assert "4 environments tried" in shown(replace(ONE, trials=(*ONE.trials, replace(REST, seconds=1.0))))


def test_a_section_stays_below_the_limit_of_a_summary_page():
    many = tuple(replace(BAD, taken=(f"{'name' * 50}{i}",)) for i in range(6000))
    page = markdown.render(replace(ONE, trials=many))
    assert 0.9 * LIMIT < len(page.encode()) <= LIMIT
    assert " more\n\n</details>" in page
    assert page.endswith("12 s\n"), "what was tried, and what is left, comes last and is never left out"
