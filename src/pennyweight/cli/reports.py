"""What `verify` found, for the machines of a CI: JUnit XML, SARIF 2.1.0, and GitHub's notes and summary."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

import click

from pennyweight.cli.text import counted, one_line, percent, size
from pennyweight.pipeline.report import Problem, VerifyReport

_RULE: Final = "verify"
_MAX_ROWS: Final = 50  # of a summary; GitHub takes 1 MiB of it


def junit(report: VerifyReport) -> str:
    """A suite for each container with a case for each tensor; what is wrong with no tensor is a case `(file)`."""
    suites = ElementTree.Element(
        "testsuites", name=f"pennyweight verify {one_line(report.path)}", time=f"{report.seconds:.3f}"
    )
    wrong: dict[str, dict[str | None, list[str]]] = {file.file: {} for file in report.files}
    for problem in report.problems:
        wrong.setdefault(problem.file, {}).setdefault(problem.tensor, []).append(one_line(str(problem)))
    tensors = {file.file: [tensor.name for tensor in file.tensors] for file in report.files}
    skipped = {file.file: {tensor.name for tensor in file.tensors if tensor.ok is None} for file in report.files}
    for name, problems in wrong.items():
        # Of a container that this one was compared with, only the tensors with a problem are known
        cases = list(dict.fromkeys([None, *tensors.get(name, []), *problems]))
        left = skipped.get(name, set())
        suite = ElementTree.SubElement(suites, "testsuite", name=one_line(name), tests=str(len(cases)), errors="0")
        suite.attrib |= {"failures": str(len(problems)), "skipped": str(len(left))}
        for tensor in cases:
            title = "(file)" if tensor is None else one_line(tensor)
            case = ElementTree.SubElement(suite, "testcase", classname=one_line(name), name=title)
            if lines := problems.get(tensor):
                ElementTree.SubElement(case, "failure", message=lines[0], type=_RULE).text = "\n".join(lines)
            elif tensor in left:
                ElementTree.SubElement(case, "skipped", message=f"not in slice {report.subset}")
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def sarif(report: VerifyReport) -> str:
    """One result for each problem, with the region of bytes where that is known."""
    rule = {"id": _RULE, "shortDescription": {"text": "A container does not give back what it was made from"}}
    driver = {"name": "pennyweight", "version": version("pennyweight"), "rules": [rule]}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True}],
        "results": list(map(_result, report.problems)),
    }
    schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _result(problem: Problem) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(os.fsencode(Path(problem.file).as_posix()))}}
    if problem.offset is not None:
        place["region"] = {"byteOffset": problem.offset, "byteLength": problem.n_bytes or 1}
    location: dict[str, Any] = {"physicalLocation": place}
    if problem.tensor is not None:
        location["logicalLocations"] = [{"name": problem.tensor, "kind": "member"}]
    return {"ruleId": _RULE, "level": "error", "message": {"text": str(problem)}, "locations": [location]}


FORMATS: Final[dict[str, Callable[[VerifyReport], str]]] = {"junit": junit, "sarif": sarif}


def write(report: VerifyReport, formats: tuple[tuple[str, str], ...]) -> None:
    """Each format into its file, which is replaced if it is there. OSError where it cannot be written."""
    for name, path in formats:
        Path(path).write_text(FORMATS[name](report), encoding="utf-8")


def tell_github(report: VerifyReport, n_shown: int) -> None:
    """Inside of a workflow of GitHub: a note for each of the first problems, and a table for the job's page."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for problem in report.problems[:n_shown]:
            tensor = "" if problem.tensor is None else f"tensor {problem.tensor!r}: "
            # stderr, as stdout may be JSON; a runner reads both
            click.echo(f"::error file={_escaped(problem.file, ',:')}::{_escaped(tensor + problem.reason)}", err=True)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as out:
            out.write("\n".join(_summary(report)) + "\n\n")


def _escaped(text: str, marks: str = "") -> str:
    for mark in f"%\r\n{marks}":
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text


def _summary(report: VerifyReport) -> Iterator[str]:
    part = f", slice {report.subset} only" if report.subset else ""
    yield f"### pennyweight verify: {'ok' if report.ok else counted(len(report.problems), 'problem')}{part}"
    yield ""
    yield "| container | tensors | original | stored | damaged |"
    yield "| --- | --- | --- | --- | --- |"
    for file in report.files[:_MAX_ROWS]:
        original = "?" if file.n_bytes is None else size(file.n_bytes)
        share = "" if file.n_bytes is None else f" ({percent(file.stored_bytes, file.n_bytes)})"
        damaged = len({problem.tensor for problem in report.problems if problem.file == file.file})
        cells = (_cell(file.file), f"{len(file.tensors):,}", original, size(file.stored_bytes) + share, f"{damaged:,}")
        yield f"| {' | '.join(cells)} |"
    if len(report.files) > _MAX_ROWS:
        yield f"\n... and {len(report.files) - _MAX_ROWS:,} more"
    for problem in report.problems[:_MAX_ROWS]:
        yield f"\n- {_cell(str(problem))}"
    if len(report.problems) > _MAX_ROWS:
        yield f"\n... and {len(report.problems) - _MAX_ROWS:,} more problems"


def _cell(text: str) -> str:
    """As code, which no name can break out of."""
    return f"<code>{one_line(text).translate(_MARKUP)}</code>"


_MARKUP: Final = {ord(c): f"&#{ord(c)};" for c in "&<>|`*_[]\\"}
