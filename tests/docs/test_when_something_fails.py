"""The page names tests that are there."""

import re

from public_objects import REPOSITORY


def test_every_fault_has_its_tests():
    page = REPOSITORY / "docs" / "when_something_fails.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    faults = [row for row in rows if not row.startswith(("| what", "| ---"))]
    assert len(faults) >= 12
    for fault in faults:
        tests = re.findall(r"`(tests/\S+\.py)`", fault)
        assert tests, fault
        assert all((REPOSITORY / test).is_file() for test in tests), tests
