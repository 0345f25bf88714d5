"""What has to move together, asked of the real resolver over small wheels of our own."""

from pathlib import Path

import pytest

from goldmar.config import load_project
from goldmar.environments import Environments
from goldmar.locks import read_lock
from goldmar.pipeline.candidates import Candidates, trial_of
from goldmar.pipeline.trials import Trials
from goldmar.records import Comparison, DifferenceKind, ModelComparison
from tests.support.packages import wheel


class Silent:
    """Shows no progress."""

    def step(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...


PACKAGES = {
    "gm-lead": {"1": (), "2": ("gm-base>=2",)},
    "gm-base": {"1": (), "2": ("gm-sub>=2",)},
    "gm-sub": {"1": (), "2": ()},
    "gm-mate": {"1": ("gm-mate-core==1",), "2": ("gm-mate-core==2",)},
    "gm-mate-core": {"1": (), "2": ()},
}


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    wheels = tmp_path / "wheels"
    for name, versions in PACKAGES.items():
        for version, needs in versions.items():
            wheel(wheels, name, version, needs=needs)
    ends = []
    for version in "12":
        path = tmp_path / f"{version}.txt"
        path.write_text(f"--no-index\n--find-links {wheels}\n" + "".join(f"{name}=={version}\n" for name in PACKAGES))
        ends.append(read_lock(path))
    project = load_project(tmp_path, create=True)
    environments = Environments(tmp_path / "cache")
    return Candidates(
        project, ends[0], ends[1], (), (), Silent(), environments, Trials(tmp_path / "trials.jsonl", fresh=True)
    )


def test_two_that_move_together_are_not_tied_to_a_third_that_needs_neither(candidates: Candidates) -> None:
    """Taken away one at a time, neither of the two can go: the resolver refuses each without the other."""
    assert candidates.needs(["gm-lead", "gm-base", "gm-mate", "gm-mate-core", "gm-sub"]) == {
        "gm-lead": {"gm-base", "gm-sub"},
        "gm-base": {"gm-sub"},
        "gm-mate": {"gm-mate-core"},
        "gm-mate-core": {"gm-mate"},
    }


def test_that_there_was_nothing_else_to_compare_is_no_failure_of_a_candidate() -> None:
    """Only the drawings that fail are checked; where all of them are refused, that is what it shows."""
    refused = Comparison(DifferenceKind.NO_ANSWER, "a", detail="no TIFF")
    nothing = Comparison(DifferenceKind.NOTHING_COMPARED, "")
    assert trial_of(("p",), [ModelComparison("m", 1, 0, (nothing, refused))]).failures == (("m", refused),)
    assert trial_of(("p",), [ModelComparison("m", 0, 0, (nothing,))]).failures == (("m", nothing),)


def test_what_a_candidate_lacks_is_refused_but_not_what_both_ends_leave_out(tmp_path: Path) -> None:
    """The resolver would bring gm-new along in some version or other; gm-unpinned it brings to either end as well."""
    wheels = tmp_path / "wheels"
    for name, version, needs in [
        ("gm-app", "1", ("gm-unpinned",)),
        ("gm-app", "2", ("gm-unpinned", "gm-new")),
        ("gm-new", "1", ()),
        ("gm-other", "1", ()),
        ("gm-other", "2", ()),
        ("gm-unpinned", "1", ()),
    ]:
        wheel(wheels, name, version, needs=needs)
    ends = []
    for pins in (["gm-app==1", "gm-other==1"], ["gm-app==2", "gm-new==1", "gm-other==2"]):
        path = tmp_path / f"{len(ends)}.txt"
        path.write_text("\n".join(["--no-index", f"--find-links {wheels}", *pins]))
        ends.append(read_lock(path))
    project = load_project(tmp_path, create=True)
    environments = Environments(tmp_path / "cache")
    candidates = Candidates(
        project, ends[0], ends[1], (), (), Silent(), environments, Trials(tmp_path / "trials.jsonl")
    )
    assert candidates.refusal(frozenset({"gm-app"})) == "gm-app needs gm-new, which the candidate does not have"
    assert candidates.refusal(frozenset({"gm-other"})) == ""
    assert candidates.refusal(frozenset({"gm-new"})) == ""
    assert candidates.needs(["gm-app", "gm-new", "gm-other"]) == {"gm-app": {"gm-new"}}
    assert candidates.refused >= 1
