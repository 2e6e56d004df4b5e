"""The rules. Each takes a Tree and yields Findings that say what to do; RULES lists them."""

import collections
import re

from functions import functions
from tree import Finding

LINE_COLUMNS = 100
FUNCTION_LINES = 70
FILE_LINES = 600

# What a module may include beside itself. The arrows of docs/architecture.md, written out.
_BASE = {"controlplane/base"}
_WORLD = _BASE | {"controlplane/crypto", "dataplane/api", "controlplane/world"}
_IKE = _WORLD | {"controlplane/ike"}
_GDOI = _IKE | {"gdoi"}
_CONFIG = _GDOI | {"coop", "pki"}
MAY_INCLUDE = {
    "controlplane/base": set(),
    "controlplane/crypto": _BASE,
    "controlplane/world": _WORLD,
    "controlplane/ike": _WORLD,
    "gdoi": _IKE,
    "coop": _GDOI,
    "pki": _WORLD - {"dataplane/api"},
    "dataplane/api": _BASE,
    "dataplane": _BASE | {"dataplane/api"},
    "config": _CONFIG,
    "controlplane/daemon": _CONFIG | {"config", "dataplane"},
    "perf": None,  # anything
    "tests": None,
}
# Plain values that the reader of configurations fills, in a module that it knows no more of.
_OPTIONS = {("config", "dataplane/options.hpp")}
_MODULES = sorted(MAY_INCLUDE, key=len, reverse=True)  # the deepest folder first
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
_DATAPLANE_HEADER = re.compile(r"(rte_.*|intel-ipsec-mb)\.h$")


def module_of(path):
    for module in _MODULES:
        if path.startswith(module + "/"):
            return module
    return None


def _in(path, *folders):
    """Whether the file is in one of the folders, or one of them itself."""
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def include_directions(tree):
    for file in tree.cpp():
        module = module_of(file.path)
        if module is None:
            yield Finding(file.path, 1, "source outside the modules; see docs/architecture.md")
            continue
        allowed = MAY_INCLUDE[module]
        for match in _INCLUDE.finditer(file.text):
            target = module_of(match.group(2)) if match.group(1) == '"' else None
            if allowed is None or target in (None, module) or target in allowed:
                continue
            if (module, match.group(2)) in _OPTIONS:
                continue
            yield file.finding(match.start(), f"{module} may not include {target}: pass a value or "
                               "an interface of controlplane/world instead")


def include_paths(tree):
    for file in tree.cpp():
        for match in _INCLUDE.finditer(file.text):
            if match.group(1) == '"' and match.group(2) not in tree.by_path:
                yield file.finding(match.start(), f'"{match.group(2)}" is no file of the tree: '
                                   "write the path from the root, or <...> for a library")


def dataplane_headers(tree):
    for file in tree.cpp():
        if _in(file.path, "dataplane", "perf", "tests") and not _in(file.path, "dataplane/api"):
            continue
        for match in _INCLUDE.finditer(file.text):
            if _DATAPLANE_HEADER.match(match.group(2)):
                yield file.finding(match.start(), f"<{match.group(2)}>: DPDK and IPsec-MB stay in "
                                   "dataplane/ and perf/; use dataplane/api")


# (what, regular expression on code, folders where it is allowed, what to do instead)
_BANNED = [
    ("sleeping", r"\b(?:sleep|usleep|nanosleep|sleep_for|sleep_until|rte_delay_\w+)\s*\(",
     # An idle poll-mode worker leaves its CPU to others; another program keeps its own time.
     ("dataplane", "tests/interop"),
     "wait for an event or a deadline; in a test move virtual time"),
    ("the wall clock", r"\b(?:gettimeofday|clock_gettime|localtime|ctime)\s*\("
     r"|(?<![\w.>:])time\s*\((?:nullptr|NULL|0|&)|\bsystem_clock::now\b",
     # Workers have no World; what they put into packets is the group's time.
     ("controlplane/daemon", "dataplane/clock.hpp", "tests/interop"),
     "take the time from World's Clock"),
    ("the monotonic clock", r"\bsteady_clock::now\b|\bhigh_resolution_clock::now\b",
     # The simulator's main says how long its runs took.
     ("controlplane/daemon", "perf", "tests/interop", "tests/sim/main.cpp"),
     "take the time from World's Clock"),
    ("a private source of randomness", r"\b(?:rand|srand|drand48|lrand48|RAND_bytes"
     r"|RAND_priv_bytes)\s*\(|\brandom_device\b",
     # Initialization vectors are drawn by the workers, who have no World.
     ("controlplane/daemon", "dataplane", "tests/interop"), "use World's Random"),
    ("a statistical generator", r"\b(?:mt19937(?:_64)?|minstd_rand0?|default_random_engine)\b",
     ("tests", "perf"), "keys and nonces come from World's Random"),
    ("unbounded text", r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|strtok|sscanf|alloca)\s*\(", (),
     "use fmt, std::string or Reader"),
    ("unchecked numbers",
     r"\b(?:atoi|atol|atoll|atof)\s*\(|\bstd::sto(?:i|l|ul|ll|ull|f|d)\s*\(",
     ("tests", "perf"),
     "use std::from_chars and check all of it was read"),
    ("output from a library", r"\b(?:printf|fprintf|vprintf|puts|putchar|perror)\s*\("
     r"|\bstd::(?:cout|cerr|clog)\b|\bfmt::print\b",
     ("controlplane/daemon", "perf", "tests"), "return an Error or emit an event"),
    ("a child process", r"(?<![\w.>:])(?:system|popen|fork|vfork|execv\w*|execl\w*)\s*\(",
     ("tests",), "call the library instead"),
    ("the environment", r"\b(?:secure_)?getenv\s*\(", ("controlplane/daemon", "tests", "perf"),
     "take it from the configuration"),
    ("memcmp", r"\bmemcmp\s*\(", ("dataplane", "tests", "perf"),
     "use equal, or equal_constant_time for what an attacker sends"),
    ("ending the process", r"(?<![\w.>:])(?:std::)?(?:exit|_exit|quick_exit|terminate)\s*\(",
     ("controlplane/daemon", "tests", "perf"), "return an Error"),
]
_BANNED = [(what, re.compile(pattern), where, instead) for what, pattern, where, instead in _BANNED]


def banned_calls(tree):
    for file in tree.cpp():
        for what, pattern, allowed, instead in _BANNED:
            if _in(file.path, *allowed):
                continue
            for match in pattern.finditer(file.code):
                name = match.group(0).rstrip("( \t")
                yield file.finding(match.start(), f"{name}: {what}; {instead}")


def line_length(tree):
    for file in tree.files:
        if file.path.endswith((".md", ".json", ".txt")) or file.path == "LICENSE":
            continue
        for number, line in enumerate(file.lines, 1):
            if len(line) > LINE_COLUMNS and "://" not in line:
                yield Finding(file.path, number, f"{len(line)} columns, the limit is "
                              f"{LINE_COLUMNS}")


def function_length(tree):
    for file in tree.cpp():
        if _in(file.path, "tests"):
            continue
        for function in functions(file):
            if function.length > FUNCTION_LINES:
                yield file.finding(function.offset, f"{function.name} has {function.length} lines, "
                                   f"the limit is {FUNCTION_LINES}: split it by its steps")


def file_length(tree):
    for file in tree.cpp():
        count = len(file.lines) - 1
        if count > FILE_LINES and not _in(file.path, "tests"):
            yield Finding(file.path, FILE_LINES, f"{count} lines, the limit is {FILE_LINES}: "
                          "split the file by topic")


def folder_readmes(tree):
    """Each folder of sources, and each layer of tests, says what it is for."""
    folders = {file.folder for file in tree.cpp() if not _in(file.path, "tests/unit")}
    folders |= {"/".join(file.path.split("/")[:2]) for file in tree.files if _in(file.path, "tests")
                and file.path.count("/") > 1}
    for folder in sorted(folders):
        parts = folder.split("/")
        if _in(folder + "/", "tests") and len(parts) > 2:
            continue
        if f"{folder}/README.md" not in tree.by_path:
            yield Finding(folder, 1, "no README.md: say the folder's job, data flow, "
                          "invariants and who may include it")


def open_ends(tree):
    pattern = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    for file in tree.files:
        for match in pattern.finditer(file.text):
            yield file.finding(match.start(), f"{match.group(0)}: finish it, or say in the "
                               "folder's README what is not handled and why")


def machine_paths(tree):
    pattern = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/[\w.]+")
    for file in tree.files:
        for match in pattern.finditer(file.text):
            yield file.finding(match.start(), f"{match.group(0)}: a path of one machine; take it "
                               "relative to the root or from an option")


def headers(tree):
    for file in tree.cpp():
        if not file.path.endswith(".hpp"):
            continue
        if "#pragma once" not in file.code:
            yield Finding(file.path, 1, "add #pragma once")
        for match in re.finditer(r"\busing\s+namespace\b", file.code):
            yield file.finding(match.start(), "using namespace in a header reaches every includer")


def file_names(tree):
    for file in tree.cpp():
        name = file.path.rpartition("/")[2]
        if not re.fullmatch(r"[a-z0-9_]+\.[ch]pp", name):
            yield Finding(file.path, 1, "name C++ files in snake_case")


def dead_files(tree):
    builds = "\n".join(file.text for file in tree.files if file.path.endswith("meson.build"))
    included = {match.group(2) for file in tree.cpp() for match in _INCLUDE.finditer(file.text)}
    for file in tree.cpp():
        stem = file.path.rpartition("/")[2]
        if file.path.endswith(".cpp"):
            base = stem.removesuffix(".cpp")
            entry = base.removesuffix("_fuzz")  # tests/fuzz/meson.build names the entry
            if not re.search(rf"\b{base}(?:\.cpp)?'|'{entry}'", builds):
                yield Finding(file.path, 1, "no meson.build names this file: build it or delete it")
        elif file.path not in included:
            yield Finding(file.path, 1, "nothing includes this header: use it or delete it")


_SEVERITIES = ["emergency", "alert", "critical", "error", "warning"]
_EVENT = re.compile(r'EventKind (\w+)\{\s*"(\w+)",\s*Severity::(\w+),\s*"(\w+)"')
_REASON = re.compile(r'\bReason \w+\{\s*"(\w+)"')


def log_lines(tree):
    """An operator finds each warning, and worse, that is ever reported, by its name in the page."""
    page = tree.by_path.get("docs/operations.md")
    used = collections.Counter(word for file in tree.cpp() if not _in(file.path, "tests")
                               for word in re.findall(r"\w+", file.code))
    for file in tree.cpp():
        for match in _EVENT.finditer(file.text):
            variable, facility, severity, mnemonic = match.groups()
            if severity not in _SEVERITIES or used[variable] < 2 or _in(file.path, "tests"):
                continue
            line = f"{facility}-{_SEVERITIES.index(severity)}-{mnemonic}"
            if page is None or not re.search(rf"{line}\b", page.text):
                yield file.finding(match.start(), f"{line}: docs/operations.md does not say what "
                                   "it means and what to do")


def reason_names(tree):
    first = {}
    for file in tree.cpp():
        for match in _REASON.finditer(file.text):
            name = match.group(1)
            if not _in(file.path, "tests") and first.setdefault(name, file.path) != file.path:
                yield file.finding(match.start(), f"{name}: {first[name]} has a reason of this "
                                   "name; counters would mix them up")


def white_space(tree):
    for file in tree.files:
        if file.path == "LICENSE" or file.path.endswith(".txt") or "/data/" in file.path:
            continue
        for number, line in enumerate(file.lines, 1):
            if line != line.rstrip() or "\t" in line or "\r" in line:
                yield Finding(file.path, number, "trailing space, tab or carriage return")
        if file.text and not file.text.endswith("\n"):
            yield Finding(file.path, len(file.lines), "no newline at the end")


RULES = [include_directions, include_paths, dataplane_headers, banned_calls, line_length,
         function_length, file_length, folder_readmes, open_ends, machine_paths, headers,
         file_names, dead_files, log_lines, reason_names, white_space]
