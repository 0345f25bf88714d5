"""Links in the README and the guides lead somewhere; no network is asked."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("model_store/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)


def broken(page: Path) -> list[str]:
    targets = [found["target"] for found in LINK.finditer(page.read_text(encoding="utf-8"))]
    return [
        target
        for target in targets
        if not target.startswith(("https://", "http://", "#")) and not (page.parent / target.split("#")[0]).exists()
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page):
    assert broken(ROOT / page) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#top) [web](https://example.org) [gone](gone.md) ![picture](gone.svg)")
    assert broken(page) == ["gone.md", "gone.svg"]
