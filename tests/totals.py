"""Counts the cases of meson test runs: totals.py MESON-LOGS-DIRECTORY ...

Prints what failed and why something was skipped, then the totals, alone on the last line:
`N passed, N failed`, with `, N skipped` if there were any. A case that ran in more than one build
counts once and must pass in each. Exit status: 0 if nothing failed and something passed.

meson's junit file has the single cases (GoogleTest and TAP), but it shows a case neither for a
program that died nor for one that timed out: those come from testlog.json.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

PASSED, SKIPPED, FAILED = 0, 1, 2  # the worse of two results is the greater one
DONE_WELL = {"OK", "SKIP", "EXPECTEDFAIL"}


def short(name):
    """meson writes "project:suite / test"."""
    return name.rpartition(" / ")[2]


def result_of(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return FAILED
    return SKIPPED if case.find("skipped") is not None else PASSED


def read_junit(path, results):
    """Adds {(test, case): result}; the test is the name given in meson.build."""
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        program = suite.get("name", "").split(".")  # project.test.suite for what has cases
        for case in suite.iter("testcase"):
            if case.get("status") == "notrun":  # a disabled GoogleTest case
                continue
            name = case.get("name", "")
            test = short(program[1] if len(program) > 1 else name)
            key = (test, ".".join(program[2:] + [short(name)]))
            results[key] = max(results.get(key, PASSED), result_of(case))


def read_log(path, results):
    """Makes sure that a program which did not end well has a failed case."""
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        test, outcome = short(entry["name"]), entry["result"]
        if outcome in DONE_WELL:
            continue
        if any(key[0] == test and value == FAILED for key, value in results.items()):
            continue
        results.pop((test, test), None)
        results[(test, f"{test} ({outcome.lower()}, status {entry['returncode']})")] = FAILED


def main(directories):
    merged = {}
    for directory in map(pathlib.Path, directories):
        results = {}
        if not (directory / "testlog.json").exists():
            print(f"no test ran: {directory}/testlog.json is missing")
            results[(str(directory), "no test ran")] = FAILED
        else:
            read_junit(directory / "testlog.junit.xml", results)
            read_log(directory / "testlog.json", results)
        for key, value in results.items():
            merged[key] = max(merged.get(key, PASSED), value)
        counts = [list(results.values()).count(kind) for kind in (PASSED, FAILED, SKIPPED)]
        print("{}: {} passed, {} failed, {} skipped".format(directory.parent, *counts))
    for (test, case), value in sorted(merged.items()):
        if value != PASSED:
            print(f"  {'FAILED' if value == FAILED else 'skipped'}  {test}: {case}")
    passed, skipped, failed = (list(merged.values()).count(kind) for kind in range(3))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
