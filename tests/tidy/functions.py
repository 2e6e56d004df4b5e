"""Finds the functions of a C++ file without a compiler: good enough to measure their length.

Braces are classified by the text before them. At namespace or class level a brace whose head has a
parenthesis opens a function, unless the head is an initialiser; everything inside belongs to it.
"""

import re
from dataclasses import dataclass

_SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")
_INITIALISER = re.compile(r"(=|\breturn|,|\()\s*$")


@dataclass
class Function:
    name: str
    offset: int  # of the first character of the head
    first_line: int
    last_line: int

    @property
    def length(self):
        return self.last_line - self.first_line + 1


def _matching_brace(code, opening):
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, opening):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.start()
    return len(code) - 1


def _without_preprocessor(code):
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, code)


def _opens_scope(head):
    """namespace X, struct Y : Z, extern "C"; not `struct tm f()` nor an enum-returning function."""
    is_function = re.search(r"\)\s*(const|noexcept|override|final|->.*)*\s*$", head)
    return bool(_SCOPE.search(head)) and not is_function


def _name(head):
    match = re.search(r"([~\w:]+(?:\s*operator\s*\S+?)?)\s*\(", head)
    return match.group(1) if match else "?"


def functions(file):
    code = _without_preprocessor(file.code)
    found = []
    at = head_start = 0
    pattern = re.compile(r"[{};]")
    while match := pattern.search(code, at):
        at = match.end()
        if match.group() != "{":
            head_start = at
            continue
        head = code[head_start:match.start()]
        if _opens_scope(head):
            head_start = at
            continue
        closing = _matching_brace(code, match.start())
        if "(" in head and not _INITIALISER.search(head):
            # A constructor's `: a_{1}, b_{2} {`: each brace before the last is an initialiser.
            while following := re.compile(r"\s*(?:,[^{};]*)?\{").match(code, closing + 1):
                closing = _matching_brace(code, following.end() - 1)
            start = head_start + len(head) - len(head.lstrip())
            found.append(Function(_name(head), start, file.line_of(start), file.line_of(closing)))
            at = head_start = closing + 1
        else:  # an initialiser: its head goes on until the semicolon
            at = closing + 1
    return found
