"""The report for CI servers: JUnit XML in the shape that Jenkins and GitLab read; a suite a model, a case a drawing.

There is no standard; this follows the schema of Jenkins' xunit plugin (junit-10.xsd).
"""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from goldmar.records import Comparison, ModelResult, RunResult, Verdict
from goldmar.report import words
from goldmar.report.run.files import file
from goldmar.text import clean, without_userinfo

_AT_MOST = 100
"""Lines in one failure; a drawing with thousands of values would swamp the page that shows it."""

_WHOLE = "the whole model"
_COUNTED = {"tests": "testcase", "failures": ".//failure", "errors": ".//error", "skipped": ".//skipped"}


@file("junit.xml")
def render(run: RunResult, verdict: Verdict) -> str:
    """The run as XML text. A run that does not pass has at least one failure, even where nothing was compared."""
    root = ET.Element("testsuites", name="goldmar", time=f"{run.seconds:.3f}")
    for model in run.models:
        _suite(root, model, run)
    for name, reason in (run.not_compared or {}).items():
        if reason:  # a model without golden on purpose is a case that is skipped
            suite = _sub(root, "testsuite", name=name, time="0.000")
            _sub(_case(suite, name, _WHOLE), "skipped", message=f"no golden on purpose: {reason}")
    if not verdict.passed and not root.findall(".//failure"):
        suite = _sub(root, "testsuite", name="goldmar", time="0.000")
        case = _sub(suite, "testcase", classname="goldmar", name="verdict")
        _fail(case, "verdict", verdict.reasons or ["nothing was compared"])
    for suite in root:
        for key, path in _COUNTED.items():
            suite.set(key, str(len(suite.findall(path))))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, result: ModelResult, run: RunResult) -> None:
    started = f"{run.started:%Y-%m-%dT%H:%M:%S}"
    suite = _sub(root, "testsuite", name=result.model, time=f"{result.seconds:.3f}", timestamp=started)
    properties = _sub(suite, "properties")
    for key, value in (
        ("backend", run.backend),
        ("url", without_userinfo(run.url)),
        ("version", result.version or "not known"),
        ("golden_version", result.golden_version),
        ("archive_digest", result.archive_digest),
        ("models", words.compared(run) if run.not_compared is not None else ""),
    ):
        if value:
            _sub(properties, "property", name=key, value=value)
    by_drawing: dict[str, list[Comparison]] = {}
    for failure in result.failures:
        by_drawing.setdefault(failure.drawing_id, []).append(failure)
    whole = by_drawing.pop("", [])
    explained = {
        one.drawing_id: [f"first to differ: {f'{one.stage}: ' if one.stage else ''}{one.detail}"]
        for one in result.explanations
    }
    for drawing in dict.fromkeys([*result.drawing_ids, *by_drawing]):
        case = _case(suite, result.model, drawing)
        if failures := by_drawing.get(drawing):
            _fail(case, failures[0].kind.value, _lines(failures), explained.get(drawing, ()))
    if whole:
        _fail(_case(suite, result.model, _WHOLE), whole[0].kind.value, _lines(whole))
    elif not result.values:
        _fail(_case(suite, result.model, _WHOLE), "nothing compared", ["nothing was compared"])


def _sub(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, {key: clean(value) for key, value in attributes.items()})


def _case(suite: ET.Element, model: str, name: str) -> ET.Element:
    return _sub(suite, "testcase", classname=f"goldmar.{model}", name=name)


def _lines(failures: Sequence[Comparison]) -> list[str]:
    lines = []
    for failure in failures[:_AT_MOST]:
        want, got = words.want_and_got(failure)
        values = f": want {want}, got {got}" if failure.name else ""
        lines.append(f"{failure.kind.value} {failure.name}{values} ({failure.detail})")
    return lines + ([f"… and {len(failures) - _AT_MOST:,} more"] if len(failures) > _AT_MOST else [])


def _fail(case: ET.Element, kind: str, lines: Sequence[str], notes: Sequence[str] = ()) -> None:
    cleaned = [clean(line) for line in (*lines, *notes)]
    more = f" (+{len(lines) - 1} more)" if len(lines) > 1 else ""
    _sub(case, "failure", type=kind, message=cleaned[0][:500] + more).text = "\n".join(cleaned)
