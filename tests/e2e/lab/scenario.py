"""The frame of a scenario: named checks as TAP lines, and what the daemons said if one fails."""

import sys
import traceback

from lab.namespaces import Lab, LabError, become_root


class Checks:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def __call__(self, what, holds, detail=""):
        """One case. `detail` is what was seen; it is printed if the case fails."""
        self.count += 1
        self.failed += not holds
        print(f"{'ok' if holds else 'not ok'} {self.count} - {what}", flush=True)
        if not holds and detail != "":
            print(f"# {what}: {detail}", file=sys.stderr)
        return bool(holds)


def print_logs(lab):
    for process in lab.processes:
        lines = process.output().splitlines()[-60:]
        state = "running" if process.running() else f"ended with {process.popen.returncode}"
        print(f"# --- {process.log} ({state})", *lines, sep="\n# ", file=sys.stderr)


def run(body):
    """Calls body(lab, check) in a lab of its own and ends the program with the outcome."""
    become_root()
    check = Checks()
    with Lab() as lab:
        try:
            body(lab, check)
        except LabError as error:
            check(str(error).splitlines()[0], False, error)
        except Exception:  # a bug of the scenario is a failure with its traceback, not a crash
            check("the scenario runs to its end", False, traceback.format_exc())
        if check.failed:
            print_logs(lab)
    print(f"1..{check.count}")
    sys.exit(1 if check.failed else 0)
