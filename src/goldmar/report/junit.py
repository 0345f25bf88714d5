"""The report for CI servers: JUnit XML in the shape that Jenkins and GitLab read; a suite a model, a case a drawing.

There is no standard; the shape held to is the schema of Jenkins' xunit plugin (junit-10.xsd).
"""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from goldmar.golden.provenance import without_secrets
from goldmar.records import Comparison, ModelResult, RunResult, Verdict
from goldmar.report import words

__all__ = ["render"]

_AT_MOST = 100
"""Lines in one failure; a drawing with thousands of values would swamp the page that shows it."""

_WHOLE = "the whole model"


def render(run: RunResult, verdict: Verdict) -> str:
    """The run as XML text. A run that does not pass has at least one failure, even where nothing was compared."""
    root = ET.Element("testsuites", name="goldmar", time=f"{run.seconds:.3f}")
    for model in run.models:
        root.append(_suite(model, run))
    for name, reason in (run.not_compared or {}).items():
        if reason:
            root.append(_left_out(name, reason))
    if not verdict.passed and not root.findall(".//failure"):
        suite = ET.SubElement(root, "testsuite", name="goldmar", time="0.000")
        case = ET.SubElement(suite, "testcase", classname="goldmar", name="verdict")
        _fail(case, "verdict", list(verdict.reasons) or ["nothing was compared"])
        _count(suite)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _left_out(model: str, reason: str) -> ET.Element:
    """A model without golden on purpose is a case that is skipped, with the reason."""
    suite = ET.Element("testsuite", name=words.clean(model), time="0.000")
    case = _case(suite, model, _WHOLE)
    ET.SubElement(case, "skipped", message=words.clean(f"no golden on purpose: {reason}"))
    _count(suite)
    return suite


def _suite(result: ModelResult, run: RunResult) -> ET.Element:
    suite = ET.Element(
        "testsuite",
        name=words.clean(result.model),
        time=f"{result.seconds:.3f}",
        timestamp=f"{run.started:%Y-%m-%dT%H:%M:%S}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("backend", run.backend),
        ("url", without_secrets(run.url)),
        ("version", result.version or "not known"),
        ("golden_version", result.golden_version),
        ("archive_digest", result.archive_digest),
        ("models", words.compared(run) if run.not_compared is not None else ""),
    ):
        if value:
            ET.SubElement(properties, "property", name=key, value=words.clean(value))
    if not len(properties):
        suite.remove(properties)
    by_drawing: dict[str, list[Comparison]] = {}
    for failure in result.failures:
        by_drawing.setdefault(failure.drawing_id, []).append(failure)
    whole = by_drawing.pop("", [])
    explained = {one.drawing_id: [f"first to differ: {words.explanation_words(one)}"] for one in result.explanations}
    for drawing in dict.fromkeys([*result.drawing_ids, *by_drawing]):
        kind, lines = _said(by_drawing.get(drawing, []))
        _fail(_case(suite, result.model, drawing), kind, lines, explained.get(drawing, ()))
    if whole:
        _fail(_case(suite, result.model, _WHOLE), *_said(whole))
    elif not result.values:
        _fail(_case(suite, result.model, _WHOLE), "nothing compared", ["nothing was compared"])
    _count(suite)
    return suite


def _case(suite: ET.Element, model: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"goldmar.{words.clean(model)}", name=words.clean(name))


def _said(failures: Sequence[Comparison]) -> tuple[str, list[str]]:
    lines = []
    for failure in failures[:_AT_MOST]:
        want, got = words.want_and_got(failure)
        values = f": want {want}, got {got}" if failure.name else ""
        lines.append(f"{failure.kind.value} {words.clean(failure.name)}{values} ({words.clean(failure.detail)})")
    if len(failures) > _AT_MOST:
        lines.append(f"… and {len(failures) - _AT_MOST:,} more")
    return failures[0].kind.value if failures else "", lines


def _fail(case: ET.Element, kind: str, lines: list[str], notes: Sequence[str] = ()) -> None:
    if not lines:
        return
    clean = [words.clean(line) for line in (*lines, *notes)]
    more = f" (+{len(lines) - 1} more)" if len(lines) > 1 else ""
    ET.SubElement(case, "failure", type=kind, message=clean[0][:500] + more).text = "\n".join(clean)


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
