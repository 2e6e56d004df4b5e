"""tidy.py ROOT: the house rules that a program can check, as a TAP test, one case a rule.

Each finding is FILE:LINE: what is wrong and what to do. At the end come the RFC sections that the
code names, as a count: what an implementer claims should be findable from the RFC's side too.
"""

import collections
import re
import sys

from rules import RULES
from tree import Tree


def rfc_references(tree):
    count = collections.Counter()
    for file in tree.cpp():
        for match in re.finditer(r"RFC (\d{3,5}),? (?:§|section |Section )([\d.]*\d)", file.text):
            count[match.group(1)] += 1
    return count


def main(root):
    tree = Tree(root)
    if not tree.cpp():
        print(f"Bail out! {root} has no C++ sources")
        return 1
    print(f"1..{len(RULES)}")
    failed = False
    for number, rule in enumerate(RULES, 1):
        findings = list(rule(tree))
        failed = failed or bool(findings)
        print(f"{'not ok' if findings else 'ok'} {number} - {rule.__name__}")
        for finding in findings:
            print(f"# {finding}", file=sys.stderr)
    counts = rfc_references(tree).most_common()
    print("# RFC sections named in the code: "
          + ", ".join(f"RFC {number} x{count}" for number, count in counts), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
