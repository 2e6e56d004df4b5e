"""Shows that each tidy rule bites: small bad trees, each with the findings it must give, as TAP.

A case is (rule, files of a tree, the findings as FILE:LINE and a word of the message). The same
tree with its good twin must give none, so that a rule which complains about everything fails too.
"""

import pathlib
import sys
import tempfile

import rules
from tree import Tree

LONG_BODY = "".join(f"  total += {i};\n" for i in range(70))
LONG_FUNCTION = f"int sum(int total) {{\n{LONG_BODY}  return total;\n}}\n"
INIT_LIST = ("struct A {\n  A(int x) : a_{x}, b_{2} {\n" + LONG_BODY.replace("total", "a_")
             + "  }\n  int a_ = 0;\n  int b_ = 0;\n};\n")
TABLE = "const int table[] = {\n" + "  f(1),\n" * 80 + "};\nint g() { return 1; }\n"

EVENT = 'constexpr EventKind crl_failed{\n  "PKI", Severity::warning,\n "CRL_FAIL", "text"};\n'
REASON = 'constexpr Reason bad_url{"bad_url", "text"};\n'

# (rule, {path: text}, [(path, line, part of the message)])
CASES = [
    ("include_directions", {"gdoi/a.cpp": '#include "config/b.hpp"\n'},
     [("gdoi/a.cpp", 1, "gdoi may not include config")]),
    ("include_directions", {"controlplane/base/a.hpp": '\n#include "controlplane/world/w.hpp"\n'},
     [("controlplane/base/a.hpp", 2, "controlplane/base may not include controlplane/world")]),
    ("include_directions", {"dataplane/a.cpp": '#include "gdoi/policy.hpp"\n'},
     [("dataplane/a.cpp", 1, "dataplane may not include gdoi")]),
    ("include_directions", {"pki/a.cpp": '#include "controlplane/ike/x.hpp"\n'},
     [("pki/a.cpp", 1, "pki may not include controlplane/ike")]),
    ("include_directions", {"pki/a.cpp": '#include "tests/x.hpp"\n'},
     [("pki/a.cpp", 1, "pki may not include tests")]),
    ("include_directions", {"other/a.cpp": "int a;\n"},
     [("other/a.cpp", 1, "outside the modules")]),
    ("include_directions", {"gdoi/a.cpp": '#include "controlplane/ike/x.hpp"\n',
                            "dataplane/a.cpp": '#include "dataplane/api/x.hpp"\n',
                            "tests/sim/a.cpp": '#include "config/x.hpp"\n'}, []),
    ("include_paths", {"pki/a.cpp": '#include "b.hpp"\n', "pki/b.hpp": "#pragma once\n"},
     [("pki/a.cpp", 1, "no file of the tree")]),
    ("include_paths", {"pki/a.cpp": '#include "pki/b.hpp"\n', "pki/b.hpp": "#pragma once\n"}, []),
    ("dataplane_headers", {"gdoi/a.cpp": "#include <rte_mbuf.h>\n"}, [("gdoi/a.cpp", 1, "DPDK")]),
    ("dataplane_headers", {"dataplane/api/a.hpp": "#include <intel-ipsec-mb.h>\n"},
     [("dataplane/api/a.hpp", 1, "IPsec-MB")]),
    ("dataplane_headers", {"dataplane/a.cpp": "#include <rte_mbuf.h>\n"}, []),
    ("banned_calls", {"pki/a.cpp": "void f() {\n  usleep(3);\n}\n"},
     [("pki/a.cpp", 2, "sleeping")]),
    ("banned_calls", {"tests/unit/a.cpp": "void f() { std::this_thread::sleep_for(1s); }\n"},
     [("tests/unit/a.cpp", 1, "sleeping")]),
    ("banned_calls", {"gdoi/a.cpp": "auto a = std::chrono::system_clock::now();\n"},
     [("gdoi/a.cpp", 1, "wall clock")]),
    ("banned_calls", {"gdoi/a.cpp": "auto a = time(nullptr);\nauto b = x.time(0);\n"},
     [("gdoi/a.cpp", 1, "wall clock")]),
    ("banned_calls", {"gdoi/a.cpp": "int a = rand();\n"}, [("gdoi/a.cpp", 1, "randomness")]),
    ("banned_calls", {"pki/a.cpp": "void f() { strcpy(a, b); }\n"},
     [("pki/a.cpp", 1, "unbounded")]),
    ("banned_calls", {"pki/a.cpp": 'void f() { printf("x"); }\n'}, [("pki/a.cpp", 1, "output")]),
    ("banned_calls", {"pki/a.cpp": "bool f() { return std::memcmp(a, b, 3) == 0; }\n"},
     [("pki/a.cpp", 1, "equal_constant_time")]),
    # Words in comments and literals are no calls, and the real World may do what others may not.
    ("banned_calls", {"pki/a.cpp": '// sleep(1) and rand()\nconst char* a = "printf(1)";\n'
                      "/* strcpy(a,\n b) */\nauto c = R\"x(sleep(1))x\";\nint d = 1'000;\n",
                      "controlplane/daemon/a.cpp": "auto a = std::chrono::system_clock::now();\n"},
     []),
    ("line_length", {"pki/a.cpp": "int a;\n//" + "x" * 99 + "\n"},
     [("pki/a.cpp", 2, "101 columns")]),
    ("line_length", {"pki/a.cpp": "//" + "x" * 98 + "\n", "pki/README.md": "y" * 300 + "\n"}, []),
    ("function_length", {"pki/a.cpp": "\n" + LONG_FUNCTION},
     [("pki/a.cpp", 2, "sum has 73 lines")]),
    ("function_length", {"pki/a.cpp": INIT_LIST}, [("pki/a.cpp", 2, "A has 72 lines")]),
    ("function_length", {"pki/a.cpp": TABLE}, []),
    ("function_length", {"tests/unit/a.cpp": LONG_FUNCTION}, []),
    ("file_length", {"pki/a.cpp": "int a;\n" * 601}, [("pki/a.cpp", 600, "601 lines")]),
    ("file_length", {"pki/a.cpp": "int a;\n" * 600, "tests/unit/b.cpp": "int a;\n" * 900}, []),
    ("folder_readmes", {"pki/a.cpp": "int a;\n"}, [("pki", 1, "no README.md")]),
    ("folder_readmes", {"tests/sim/net/a.py": "\n"}, [("tests/sim", 1, "no README.md")]),
    ("folder_readmes", {"pki/a.cpp": "int a;\n", "pki/README.md": "x\n",
                        "tests/unit/pki/a.cpp": "int a;\n", "tests/unit/README.md": "x\n"}, []),
    ("open_ends", {"pki/a.cpp": "// TO" "DO: later\n"}, [("pki/a.cpp", 1, "finish it")]),
    ("open_ends", {"README.md": "one\nFIX" "ME\n"}, [("README.md", 2, "finish it")]),
    ("machine_paths", {"README.md": "see /ho" "me/me/x\n"}, [("README.md", 1, "one machine")]),
    ("machine_paths", {"README.md": "see https://example.org/work/x and docs/work/x\n"}, []),
    ("headers", {"pki/a.hpp": "int a;\n"}, [("pki/a.hpp", 1, "#pragma once")]),
    ("headers", {"pki/a.hpp": "#pragma once\nusing namespace std;\n"},
     [("pki/a.hpp", 2, "every includer")]),
    ("file_names", {"pki/CamelCase.cpp": "int a;\n"}, [("pki/CamelCase.cpp", 1, "snake_case")]),
    ("dead_files", {"pki/a.cpp": "int a;\n", "pki/meson.build": "x = ['ba.cpp', 'b.cpp']\n"},
     [("pki/a.cpp", 1, "no meson.build")]),
    ("dead_files", {"pki/b.hpp": "#pragma once\n"}, [("pki/b.hpp", 1, "nothing includes")]),
    ("dead_files", {"pki/a.cpp": '#include "pki/b.hpp"\n', "pki/b.hpp": "#pragma once\n",
                    "pki/meson.build": "x = ['a.cpp']\n"}, []),
    ("log_lines", {"pki/events.hpp": EVENT, "pki/a.cpp": "&crl_failed;\n",
                   "docs/operations.md": "| `PKI-4-CRL` |\n"},
     [("pki/events.hpp", 1, "PKI-4-CRL_FAIL: docs/operations.md does not say")]),
    ("log_lines", {"pki/events.hpp": EVENT, "pki/a.cpp": "&crl_failed;\n",
                   "docs/operations.md": "| `PKI-4-CRL_FAIL` |\n"}, []),
    ("log_lines", {"pki/events.hpp": EVENT.replace("warning", "notice"),
                   "pki/a.cpp": "&crl_failed;\n"}, []),
    ("reason_names", {"gdoi/a.cpp": REASON, "pki/a.cpp": REASON},
     [("pki/a.cpp", 1, "gdoi/a.cpp has a reason of this name")]),
    ("reason_names", {"gdoi/a.cpp": REASON, "tests/a.cpp": REASON}, []),
    ("white_space", {"pki/a.cpp": "int a; \n\tint b;\nint c;"},
     [("pki/a.cpp", 1, "trailing"), ("pki/a.cpp", 2, "tab"), ("pki/a.cpp", 3, "no newline")]),
]


def findings_in(rule, files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            target = pathlib.Path(root, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return list(getattr(rules, rule)(Tree(root)))


def fits(expected, found):
    return len(expected) == len(found) and all(
        (finding.path, finding.line) == (path, line) and part in finding.message
        for (path, line, part), finding in zip(expected, found))


def main():
    print(f"1..{len(CASES) + 1}")
    failed = False
    for number, (rule, files, expected) in enumerate(CASES, 1):
        found = findings_in(rule, files)
        good = fits(expected, found)
        failed = failed or not good
        print(f"{'ok' if good else 'not ok'} {number} - {rule}: {', '.join(files)}")
        if not good:
            print(f"# expected {expected}, found {[str(f) for f in found]}", file=sys.stderr)
    untested = {r.__name__ for r in rules.RULES} - {rule for rule, _, want in CASES if want}
    print(f"{'not ok' if untested else 'ok'} {len(CASES) + 1} - every rule has a case that bites")
    return 1 if failed or untested else 0


if __name__ == "__main__":
    sys.exit(main())
