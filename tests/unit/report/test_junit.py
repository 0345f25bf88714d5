from collections import Counter
from xml.etree import ElementTree as ET

from goldmar.records import DifferenceKind, RunResult
from goldmar.report.run import junit

from . import samples

# The shape that Jenkins' xunit plugin accepts (its junit-10.xsd), of the elements used here:
# element -> required attributes, further attributes, elements within.
SHAPE = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name"}, {"time", "classname"}, {"failure", "error", "skipped", "system-out", "system-err"}),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"message"}, set()),
}


def rendered(*models, verdict=samples.FAILED, **more):
    text = junit.render(samples.run(*models, **more), verdict)
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        required, further, within = SHAPE[element.tag]
        assert required <= set(element.attrib) <= required | further
        assert {child.tag for child in element} <= within
    for suite in root:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        names = Counter((case.get("classname"), case.get("name")) for case in suite.findall("testcase"))
        assert set(names.values()) <= {1}
    assert int(root.get("tests")) == sum(int(suite.get("tests")) for suite in root)
    assert int(root.get("failures")) == sum(int(suite.get("failures")) for suite in root)
    return root


def test_a_suite_a_model_and_a_case_a_drawing():
    root = rendered(samples.good(), verdict=samples.PASSED)
    assert [suite.get("name") for suite in root] == ["thickness"]
    assert root.get("failures") == "0"
    cases = root.findall(".//testcase")
    assert len(cases) == 24
    assert cases[0].attrib == {"classname": "goldmar.thickness", "name": "WA-0"}
    properties = {item.get("name"): item.get("value") for item in root.findall(".//property")}
    assert properties == {"backend": "local", "url": "http://127.0.0.1:8080", "version": "1.0"}


def test_a_model_without_golden_on_purpose_is_skipped_with_the_reason():
    root = rendered(samples.good(), verdict=samples.PASSED, not_compared=samples.NOT_COMPARED)
    assert [suite.get("name") for suite in root] == ["thickness", "gear"]
    assert root[0].find(".//property[@name='models']").get("value") == "1 of 4 models compared"
    (skipped,) = root.findall(".//skipped")
    assert skipped.get("message").startswith("no golden on purpose: no drawings may leave the house a|b")


def test_a_failure_says_all_of_its_drawing():
    root = rendered(samples.good(), samples.bad())
    bad = root[1]
    failures = {case.get("name"): case.find("failure") for case in bad.findall("testcase")}
    assert set(failures) == {"a", "many", "new", "not asked", "refused"}
    assert None not in failures.values()
    assert failures["refused"].get("type") == "no answer"
    assert "400: the TIFF is <cut> short" in failures["refused"].get("message")
    assert (
        "different thickness: want 9.60787392, got 9.7 (differs by 0.0921261, 0.001 is allowed)" in failures["a"].text
    )
    assert 'different label: want "flange", got "brack|et"' in failures["a"].text
    assert len(failures["many"].text.splitlines()) == 24


def test_the_first_stage_that_differs_is_below_what_failed():
    root = rendered(samples.explained())
    failures = {case.get("name"): case.find("failure") for case in root[0].findall("testcase")}
    *_, last = failures["a"].text.splitlines()
    assert last == (
        "first to differ: preprocess: tensor differs in 3.1 % of elements, largest 0.004, after equal decode"
    )
    assert failures["a"].get("message") == rendered(samples.bad()).find(".//failure").get("message")


def test_control_characters_are_spelt_out():
    root = rendered(samples.bad())
    text = "".join(failure.text for failure in root.findall(".//failure"))
    assert "\\x1b[31m\\x00\\udce9\\u202e" in text
    assert not set(map(chr, range(32))) - {"\n"} & set(text)


def test_a_run_with_nothing_is_a_failure():
    for models in ((), (samples.nothing(),)):
        root = rendered(*models, verdict=samples.FAILED)
        assert int(root.get("failures")) == 1
    assert root.find(".//failure").get("type") == DifferenceKind.EMPTY_GOLDEN.value


def test_a_model_without_values_is_a_failure_even_without_a_word_of_it():
    hollow = samples.replace(samples.nothing(), failures=())
    root = rendered(hollow, verdict=samples.PASSED)
    assert root.find(".//failure").get("type") == "nothing compared"


def test_a_verdict_that_no_drawing_explains_is_a_failure():
    root = rendered(samples.good(), verdict=samples.FAILED)
    failure = root.find(".//testcase[@name='verdict']/failure")
    assert failure.text == "part_class: 3 × different"


def test_thousands_of_values_are_cut():
    golden = {("a", f"n{i}"): 1.0 for i in range(5000)}
    root = rendered(samples.model(golden, dict.fromkeys(golden, 2.0)))
    lines = root.find(".//failure").text.splitlines()
    assert len(lines) == 101
    assert lines[-1] == "… and 4,900 more"


def test_no_password():
    root = rendered(samples.good(), url="https://me:secret@models.example/")
    assert "secret" not in ET.tostring(root, encoding="unicode")


def test_the_sample_is_a_run():
    assert isinstance(samples.run(), RunResult)
