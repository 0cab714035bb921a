"""Failures that are known. Each entry is a strict expected failure: the test fails as soon as the defect is gone."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Defect:
    """A test that fails for frameworks, ways and faults that match these patterns."""

    test: str
    framework: str
    symptom: str
    way: str = "*"
    fault: str = "*"


KNOWN_DEFECTS: tuple[Defect, ...] = ()


def reason_of(test: str, framework: str, way: str, fault: str) -> str:
    """Return the symptom of the known defect that makes a test fail, or nothing."""
    for defect in KNOWN_DEFECTS:
        patterns = (defect.test, defect.framework, defect.way, defect.fault)
        if all(map(fnmatch, (test, framework, way, fault), patterns)):
            return defect.symptom
    return ""


def symptoms_of(framework: str) -> list[str]:
    """Return the symptoms of the known defects of a framework, each once."""
    return list(dict.fromkeys(one.symptom for one in KNOWN_DEFECTS if fnmatch(framework, one.framework)))
