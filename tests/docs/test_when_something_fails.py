"""The page names tests that are there."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]


def test_every_fault_has_its_tests():
    page = (ROOT / "docs/when_something_fails.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    faults = [row for row in rows if not row.startswith(("| what", "| ---"))]
    assert len(faults) >= 12
    for fault in faults:
        tests = re.findall(r"`(tests/\S+\.py)`", fault)
        assert tests, fault
        assert all((ROOT / test).is_file() for test in tests), tests
