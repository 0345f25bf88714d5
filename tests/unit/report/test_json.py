import json
import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from goldmar.records import DifferenceKind
from goldmar.report.run import json as report

from . import samples

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/report-schema.json").read_text(encoding="utf-8"))


def rendered(*models, verdict=samples.FAILED, **more):
    def refuse(name):
        raise AssertionError(name)

    text = report.render(samples.run(*models, **more), verdict)
    text.encode()
    read = json.loads(text, parse_constant=refuse)
    jsonschema.validate(read, SCHEMA, format_checker=jsonschema.FormatChecker())
    return read


def test_the_schema_is_one_and_is_strict():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == report.SCHEMA
    assert SCHEMA["$defs"]["comparison"]["properties"]["kind"]["enum"] == [kind.value for kind in DifferenceKind]
    read = rendered(samples.good())
    for break_it in (
        lambda: read.pop("passed"),
        lambda: read["models"][0].update(surprise=1),
        lambda: read["models"][0]["closest"][0].update(kind="nice"),
    ):
        break_it()
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(read, SCHEMA)


@pytest.mark.parametrize(
    "models", [(), (samples.good(),), (samples.bad(),), (samples.nothing(),), (samples.good(), samples.bad())]
)
def test_every_run_fits_the_schema(models):
    assert len(rendered(*models)["models"]) == len(models)


def test_the_models_that_were_not_compared():
    read = rendered(samples.good(), samples.nothing(), not_compared=samples.NOT_COMPARED)
    assert (read["models_known"], read["models_compared"]) == (5, 1)
    assert read["not_compared"] == [
        {"model": "gear", "no_golden_on_purpose": True, "why": samples.NOT_COMPARED["gear"]},
        {"model": "pin", "no_golden_on_purpose": False, "why": "not asked for"},
        {"model": "rim", "no_golden_on_purpose": False, "why": "not asked for"},
    ]
    assert rendered(samples.good())["models_known"] is None


def test_what_it_says():
    read = rendered(samples.good(), samples.bad())
    assert (read["schema"], read["passed"], read["reasons"]) == (1, False, ["part_class: 3 × different"])
    good, bad = read["models"]
    assert (good["drawings"], good["values"], good["failures"]) == (24, 24, [])
    assert (good["latency_p50_s"], good["latency_p95_s"]) == (pytest.approx(0.021), pytest.approx(0.032))
    assert good["predictions_per_second"] == 48
    assert len(bad["failures"]) == len(samples.bad().failures)
    found = {(failure["kind"], failure["name"]): failure for failure in bad["failures"]}
    assert found["not finite", "nan"]["got"] == "nan"
    assert found["not finite", "nan"]["got_type"] == "float"
    assert found["changed type", "count"]["want_type"] == "integer"
    assert found["changed type", "count"]["got_type"] == "float"
    assert found["extra value", "new"]["want_type"] == "absent"
    assert found["extra value", "new"]["got_type"] == "null"
    assert found["different", "thickness"]["want"] == 9.607873916625977
    assert found["changed type", samples.NASTY]["got"] == samples.NASTY
    assert found["no answer", ""]["detail"] == "400: the TIFF is <cut> short"


def test_infinite_figures_are_strings():
    golden = samples.model({("a", "x"): 0.0}, {("a", "x"): 1.0})
    summary = rendered(golden)["models"][0]["summaries"][0]
    assert (summary["worst_relative"], summary["rtol_needed"], summary["atol_needed"]) == ("inf", "inf", 1.0)
    assert (
        rendered(samples.model({("a", "x"): -math.inf}, {("a", "x"): math.inf}))["models"][0]["failures"][0]["want"]
        == "-inf"
    )


def test_no_password():
    assert rendered(samples.good(), url="https://me:secret@models.example/")["url"] == "https://models.example/"


def test_a_run_without_latencies():
    read = rendered(replace(samples.good(), latencies_s=(), obtained=None), verdict=samples.PASSED)["models"][0]
    assert (read["latency_p50_s"], read["predictions_per_second"], read["obtained"]) == (None, None, None)


def test_explanations():
    assert rendered(samples.bad())["models"][0]["explanations"] == []
    found = rendered(samples.explained())["models"][0]["explanations"]
    assert [one["drawing_id"] for one in found] == ["a", "many", "new", "not asked", "refused"]
    assert found[0]["stage"] == "preprocess"
    assert found[0]["detail"] == "tensor differs in 3.1 % of elements, largest 0.004, after equal decode"
