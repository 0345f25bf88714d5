"""Delta debugging on failures that are made up: what is found fails, cannot be made smaller, and takes few tests."""

import itertools
import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldmar.bisect import Outcome, Search, by_suspicion
from goldmar.config import load_project
from goldmar.locks import parse_lock
from goldmar.pipeline.bisect import _order
from tests.support.examples import times


class Oracle:
    """Counts how often it is asked. Asking it twice about the same is an error: each test is an environment."""

    def __init__(self, fails: Callable[[frozenset[int]], bool | None]) -> None:
        self.asked: list[frozenset[int]] = []
        self._fails = fails

    def __call__(self, changes: frozenset[int]) -> Outcome:
        assert changes not in self.asked
        self.asked.append(changes)
        said = self._fails(changes)
        return Outcome.UNRESOLVED if said is None else Outcome.FAIL if said else Outcome.PASS

    @property
    def environments(self) -> int:
        """With the good end, of which the search itself asks only where everything is taken back."""
        return len({*self.asked, frozenset()})


def needs_all(culprit: Iterable[int]) -> Callable[[frozenset[int]], bool]:
    wanted = frozenset(culprit)
    return lambda changes: wanted <= changes


@pytest.mark.parametrize("place", range(12))
def test_one_culprit_among_twelve_takes_at_most_twelve_environments(place):
    oracle = Oracle(needs_all([place]))
    (found,) = Search(oracle).all(range(12))
    assert found.changes == (place,)
    assert oracle.environments <= 12, oracle.asked


@pytest.mark.parametrize("pair", list(itertools.combinations(range(12), 2)))
def test_two_that_fail_together_among_twelve_take_at_most_thirty(pair):
    oracle = Oracle(needs_all(pair))
    (found,) = Search(oracle).all(range(12))
    assert found.changes == pair
    assert oracle.environments <= 17  # 30 would do; what docs/bisect.md says counts on this
    assert {change: outcome for change, (_, outcome) in found.without.items()} == dict.fromkeys(pair, Outcome.PASS)


def test_three_that_fail_together_are_found_wherever_they_are():
    worst = 0
    for three in itertools.combinations(range(12), 3):
        oracle = Oracle(needs_all(three))
        (found,) = Search(oracle).all(range(12))
        assert found.changes == three
        worst = max(worst, oracle.environments)
    assert worst <= 30


@pytest.mark.parametrize("count", [1, 2, 3, 20, 50, 200])
def test_one_culprit_takes_two_tests_for_each_halving(count):
    for place in range(count):
        oracle = Oracle(needs_all([place]))
        (found,) = Search(oracle).all(range(count))
        assert found.changes == (place,)
        assert oracle.environments <= 3 + 2 * math.ceil(math.log2(count))


def test_the_first_are_tried_first():
    first, last = Oracle(needs_all([0])), Oracle(needs_all([11]))
    Search(first).all(range(12))
    Search(last).all(range(12))
    assert first.environments < last.environments


def test_a_drift_that_adds_up_is_cut_down_to_what_passes_the_limit():
    """Each of ten adds 0.3 of what is allowed: four are needed, whichever."""
    oracle = Oracle(lambda changes: 0.3 * len(changes) > 1)
    found = Search(oracle).all(range(10))
    assert [len(each.changes) for each in found] == [4, 4]  # and the two that are left are within tolerance
    assert all(outcome is Outcome.PASS for each in found for _, outcome in each.without.values())


def test_each_that_fails_for_itself_is_found():
    oracle = Oracle(lambda changes: bool(changes & {2, 9}) or {4, 5} <= changes)
    assert {each.changes for each in Search(oracle).all(range(12))} == {(2,), (9,), (4, 5)}


def test_nothing_is_found_where_everything_together_passes():
    assert Search(Oracle(lambda changes: False)).all(range(5)) == []
    assert Search(Oracle(lambda changes: True)).all([]) == []


def test_what_cannot_move_alone_is_never_tried_alone():
    """3 and 7 pin each other, 7 is the culprit; 1 needs 0."""
    needs = {3: frozenset({7}), 7: frozenset({3}), 1: frozenset({0})}
    oracle = Oracle(needs_all([7]))
    (found,) = Search(oracle, needs).all(range(12))
    assert found.changes == (3, 7)
    assert found.without == {3: None, 7: None}
    for changes in oracle.asked:
        assert (3 in changes) == (7 in changes)
        assert 1 not in changes or 0 in changes


def test_what_is_needed_is_needed_in_any_number_of_steps():
    search = Search(Oracle(lambda changes: True), {1: frozenset({2}), 2: frozenset({3}), 3: frozenset({1})})
    assert search.grown(frozenset({1})) == {1, 2, 3}
    assert search.shrunk(frozenset({0, 1, 2})) == {0}


def test_an_unresolved_set_is_no_proof_that_a_change_is_needed():
    oracle = Oracle(lambda changes: None if changes == {1} else 0 in changes)
    (found,) = Search(oracle).all([0, 1])
    assert found.changes == (0,)
    broken = Oracle(lambda changes: None if len(changes) == 1 else True)
    (both,) = Search(broken).all([0, 1])
    assert both.changes == (0, 1)
    assert {outcome for _, outcome in both.without.values()} == {Outcome.UNRESOLVED}


def test_a_part_of_an_unresolved_set_is_not_taken_to_pass():
    oracle = Oracle(lambda changes: None if changes == {0, 1} else 0 in changes)
    (found,) = Search(oracle).all(range(4))
    assert found.changes == (0,)
    assert oracle.asked[:4] == [{0, 1, 2, 3}, {0, 1}, {2, 3}, {0}]


def test_what_was_taken_to_pass_is_tried_before_it_is_believed():
    """0 and 1 pass with anything of 2 and 3, and fail by themselves: no test may be left out in the end."""

    def fails(changes: frozenset[int]) -> bool:
        return changes in ({0, 1, 2, 3}, {0, 1, 3}, {1})

    oracle = Oracle(lambda changes: fails(changes))
    (found, *_) = Search(oracle).all([0, 1, 2, 3])
    assert fails(frozenset(found.changes))
    for change in found.changes:
        assert not fails(frozenset(found.changes) - {change})


ANY = st.integers(1, 9).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.dictionaries(st.frozensets(st.integers(0, count - 1)), st.sampled_from([True, False, None]), max_size=40),
        st.dictionaries(st.integers(0, count - 1), st.frozensets(st.integers(0, count - 1), max_size=2), max_size=4),
        st.frozensets(st.integers(0, count - 1), min_size=1),
    )
)


@settings(max_examples=times(3))
@given(ANY)
def test_whatever_the_failure_what_is_found_fails_and_nothing_of_it_can_be_left_out(made_up):
    """Failures that come and go at random, sets without a result, changes that need others, rings among them."""
    count, table, needs, culprit = made_up
    whole = frozenset(range(count))

    def fails(changes: frozenset[int]) -> bool | None:
        return True if changes == whole else False if not changes else table.get(changes, culprit <= changes)

    oracle = Oracle(fails)
    search = Search(oracle, needs)
    found = search.all(range(count))
    assert found
    for each in found:
        changes = frozenset(each.changes)
        assert fails(changes) is True
        assert search.grown(changes) == changes, "what it needs is part of it"
        assert set(each.without) == changes
        for change, tried in each.without.items():
            rest = search.shrunk(changes - {change})
            if tried is None:
                assert not rest
            else:
                assert tried[0] == rest
                assert tried[1] is not Outcome.FAIL
                assert fails(rest) is not True
    for asked in oracle.asked:
        assert search.grown(asked) == asked
    assert len({change for each in found for change in each.changes}) == sum(len(each.changes) for each in found)


def test_suspects_are_what_the_models_ask_for_and_what_computes():
    changes = {
        "requests": ("2.0", "3.0"),
        "pillow": ("12.1.0", "12.1.1"),
        "numpy": ("1.26", "2.0"),
        "scipy": ("1.0", "1.1"),
        "jinja2": ("3.0", "3.1"),
        "aiohttp": ("1.0", "1.0.1"),
        "rich": ("1.0", "2.0"),
        "new": (None, "1.0"),
    }
    order = by_suspicion(changes, requested=["pillow", "requests"], closure=["pillow", "requests", "numpy", "jinja2"])
    assert order == ["pillow", "numpy", "scipy", "requests", "jinja2", "new", "rich", "aiohttp"]
    assert by_suspicion({}, [], []) == []


def test_what_a_model_asks_for_is_found_where_its_handler_lies(tmp_path):
    """archive.toml may call the model otherwise than its folder."""
    folder = tmp_path / "handlers/gear_v2"
    folder.mkdir(parents=True)
    (folder / "archive.toml").write_text('version = "1"\nmodel = "gear"\n')
    (folder / "requirements.txt").write_text("-r more.txt\n")
    (folder / "more.txt").write_text("zlib-ng\n")
    lock = parse_lock("abc==1\n    # via -r x.in\nzlib-ng==1\n    # via -r x.in\n", "lock.txt")
    moved = {"abc": ("1", "2"), "zlib-ng": ("1", "2")}
    assert _order(load_project(tmp_path), [lock, lock], ["gear"], moved) == ["zlib-ng", "abc"]
