"""The handlers of `goldmar init --kind tabular|text|json`, without TorchServe: what they answer, what they refuse."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goldmar.init import ModelKind, scaffold

MODULES = ("handler", "items", "rules", "table", "words")


class Asked:
    """A handler as TorchServe has it: what it answers, with which status and content type."""

    def __init__(self, folder: Path) -> None:
        import handler

        manifest = {"model": {"serializedFile": next((path.name for path in folder.glob("model.[nj]*")), None)}}
        properties = {"model_dir": str(folder)}
        self.handler: Any = handler.Handler()
        self.handler.initialize(SimpleNamespace(model_yaml_config={}, manifest=manifest, system_properties=properties))

    def __call__(self, *items: dict[str, Any]) -> list[tuple[int, Any]]:
        statuses, types = dict.fromkeys(range(len(items)), 200), dict.fromkeys(range(len(items)), "")
        context = SimpleNamespace(
            set_response_status=lambda code, phrase, idx: statuses.update({idx: code}),
            set_response_content_type=lambda idx, value: types.update({idx: value}),
        )
        answers = self.handler.handle(list(items), context)
        assert set(types.values()) == {"application/json"}
        return [(statuses[index], json.loads(answer)) for index, answer in enumerate(answers)]


@pytest.fixture
def ask(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    scaffold(tmp_path, "gear", request.param)
    monkeypatch.syspath_prepend(tmp_path / "handlers/gear")
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        return Asked(tmp_path / "handlers/gear")
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)


CSV = "part,holes,diameter_mm,length_mm\nA,0,20,120\n"
tabular, text, rules = (pytest.mark.parametrize("ask", [kind], indirect=True) for kind in list(ModelKind)[2:])


@tabular
@pytest.mark.parametrize("item", [{"body": CSV}, {"body": b"\xef\xbb\xbf" + CSV.encode()}, {"data": CSV.encode()}])
def test_a_table_however_it_is_sent(ask: Asked, item: dict[str, Any]) -> None:
    ((status, answer),) = ask(item)
    assert (status, len(answer["minutes"])) == (200, 1)
    assert answer["minutes"][0] == pytest.approx(20 * 0.06 + 120 * 0.02 + 4, rel=0.05)


@tabular
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "no text"),
        ("  \n", "no text"),
        (b"\xff\xfe", "not UTF-8"),
        ({"rows": []}, "no text"),
        ("part,holes\nA,1\n", "no column diameter_mm"),
        ("holes,diameter_mm,length_mm\n", "no rows"),
        ("holes,diameter_mm,length_mm\n1,2\n", "length_mm in row 1 is None"),
        ("holes,diameter_mm,length_mm\n1,2,x\n", "length_mm in row 1 is 'x'"),
        ("holes,diameter_mm,length_mm\n1,2,3\n1,2,nan\n", "length_mm in row 2 is 'nan'"),
        ('holes,diameter_mm,length_mm\n1,2,"3\n', "no CSV"),
        ('holes,diameter_mm,length_mm\n1,2,"3"4\n', "no CSV"),
    ],
)
def test_a_table_that_is_refused_spoils_no_other(ask: Asked, body: Any, said: str) -> None:
    refused, answered = ask({"body": body}, {"body": CSV})
    assert (refused[0], refused[1]["code"], answered[0]) == (400, 400, 200)
    assert said in refused[1]["message"]


@text
def test_a_text_has_a_label(ask: Asked) -> None:
    ((status, answer),) = ask({"body": "SHAFT, turned"})
    assert (status, answer["label"]) == (200, "turned")
    assert sum(answer["scores"].values()) == pytest.approx(1)
    ((_, unknown),) = ask({"body": "Ø"})
    assert list(unknown["scores"].values()) == pytest.approx([1 / 3] * 3)
    assert ask({"body": ["a list"]})[0][0] == 400


@rules
@pytest.mark.parametrize("body", [{"material": "steel", "sides_mm": [100, 10, 10.0]}, None])
def test_a_part_is_weighed(ask: Asked, body: Any) -> None:
    body = body or b'{"material": "steel", "sides_mm": [100, 10, 10.0]}'
    assert ask({"body": body}) == [(200, {"mass_kg": pytest.approx(0.0785), "shipping": "letter"})]


@rules
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([1], "no JSON object"),
        ("7", "no JSON object"),
        ({"sides_mm": [1, 2, 3]}, "material is None"),
        ({"material": ["steel"], "sides_mm": [1, 2, 3]}, "material is"),
        ({"material": "steel"}, "three numbers"),
        ({"material": "steel", "sides_mm": [1, 2]}, "three numbers"),
        ({"material": "steel", "sides_mm": [1, 2, 0]}, "three numbers"),
        ({"material": "steel", "sides_mm": [1, 2, True]}, "three numbers"),
        ({"material": "steel", "sides_mm": [1, 2, float("nan")]}, "three numbers"),
        ({"material": "steel", "sides_mm": [1, 2, 10**400]}, "three numbers"),
    ],
)
def test_a_part_that_is_refused(ask: Asked, body: Any, said: str) -> None:
    ((status, answer),) = ask({"body": body})
    assert (status, answer["type"]) == (400, "BadRequest")
    assert said in answer["message"]


@rules
@pytest.mark.parametrize("answer", [lambda body: 1 / 0, lambda body: {"mass_kg": float("nan")}])
def test_a_bug_is_that_requests_alone(ask: Asked, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ask.handler.answer
    monkeypatch.setattr(ask.handler, "answer", lambda body: answer(body) if body == "bad" else real(body))
    failed, answered = ask({"body": "bad"}, {"body": {"material": "brass", "sides_mm": [1, 1, 1]}})
    assert (failed[0], answered[0]) == (500, 200)
