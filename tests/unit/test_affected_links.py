"""Where links lead within what git knows, held against the kernel's own way through a real folder."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldmar.affected.links import follow
from tests.support.examples import times

PATHS = ["a/x.csv", "a/deep/er/y.csv", "b/z.csv", "top.csv"]


@pytest.mark.parametrize(
    ("targets", "places"),
    [
        ({"b/l": "../a/x.csv"}, {"a/x.csv": ["b/l"]}),
        ({"b/l": "../a"}, {"a": ["b/l"]}),
        ({"b/l": "../a/"}, {"a": ["b/l"]}),
        ({"b/l": "../a/./deep/../x.csv"}, {"a/x.csv": ["b/l"]}),
        ({"b/l": ".."}, {"": ["b/l"]}),
        ({"b/l": "m/x.csv", "b/m": "../a"}, {"b/m": ["b/l"], "a/x.csv": ["b/l"], "a": ["b/m"]}),
        # A link's parent is where the link leads, not where it lies.
        ({"b/l": "m/../x.csv", "b/m": "../a/deep"}, {"b/m": ["b/l"], "a/x.csv": ["b/l"], "a/deep": ["b/m"]}),
        ({"b/l": "../sub/in/it.csv"}, {"sub": ["b/l"], "sub/in/it.csv": ["b/l"]}),
    ],
)
def test_what_a_link_depends_on(targets: dict[str, str], places: dict[str, list[str]]) -> None:
    links = follow(targets, [*PATHS, *targets], ["sub"])
    assert links.places == places
    assert links.blind == {}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/etc/hostname", "absolute"),
        ("../../elsewhere", "out of the repository"),
        ("../../repo/a/x.csv", "out of the repository"),
        ("nothing/there", "git knows nothing"),
        ("../gone/../a/x.csv", "git knows nothing"),
        ("../a/x.csv/../y", "git knows nothing"),
        ("l", "in circles"),
        ("l/x", "in circles"),
        ("m", "absolute"),
        (None, "none on disk"),
    ],
)
def test_a_link_that_cannot_be_followed_says_why(target: str | None, said: str) -> None:
    targets = {"b/l": target, "b/m": "/tmp"}
    links = follow(targets, [*PATHS, *targets], [])
    assert said in links.blind["b/l"]


@settings(max_examples=times(0.8))
@given(
    st.dictionaries(
        st.sampled_from(["l", "a/m", "b/n", "a/deep/o"]),
        st.lists(
            st.sampled_from(["..", ".", "a", "b", "deep", "er", "x.csv", "l", "m", "n", "o"]), min_size=1, max_size=5
        ),
        min_size=1,
    )
)
def test_a_link_leads_where_the_kernel_leads(made_up: dict[str, list[str]]) -> None:
    targets = {link: "/".join(parts) for link, parts in made_up.items()}
    links = follow(targets, [*PATHS, *targets], [])
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder).resolve()
        for path in PATHS:
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text("x")
        for link, target in targets.items():
            (top / link).symlink_to(target)
        for link in targets:
            try:
                end = (top / link).resolve(strict=True)
            except (OSError, RuntimeError):
                assert link in links.blind
                continue
            if link in links.blind:
                # Only the kernel can go out of the folder and come back.
                assert "out of the repository" in links.blind[link]
                continue
            place = "" if end == top else str(end.relative_to(top))
            assert link in links.places[place]
