"""The source tree as the tidy rules see it: files with their text, and C++ without its comments."""

import bisect
import pathlib
import re
from dataclasses import dataclass
from functools import cached_property

SKIPPED_FOLDERS = {"build", ".git", ".cache", "__pycache__", "corpus"}
TEXT_SUFFIXES = {".cpp", ".hpp", ".py", ".sh", ".md", ".json", ".build", ".txt", ".service", ""}

# One alternative a kind of token in which braces, quotes or banned words mean nothing.
_OPAQUE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\s\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'", re.S)


def _blank(match):
    """Keeps lines and columns; a string stays visible as an empty pair of quotes."""
    text = match.group(0)
    kept = '"' if text[0] in '"R' else " "
    return kept + "".join("\n" if c == "\n" else " " for c in text[1:-1]) + kept * (len(text) > 1)


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


@dataclass
class SourceFile:
    path: str  # relative to the root, with '/'
    text: str

    @property
    def folder(self):
        return self.path.rpartition("/")[0]

    @property
    def is_cpp(self):
        return self.path.endswith((".cpp", ".hpp"))

    @cached_property
    def lines(self):
        return self.text.split("\n")

    @cached_property
    def code(self):
        """The text with comments and the contents of literals blanked, same lines and columns."""
        return _OPAQUE.sub(_blank, self.text)

    @cached_property
    def _line_starts(self):
        return [0] + [m.end() for m in re.finditer("\n", self.text)]

    def line_of(self, offset):
        return bisect.bisect_right(self._line_starts, offset)

    def finding(self, offset, message):
        return Finding(self.path, self.line_of(offset), message)


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.files = sorted(self._read(self.root), key=lambda file: file.path)
        self.by_path = {file.path: file for file in self.files}

    def _read(self, folder):
        for entry in folder.iterdir():
            if entry.is_dir():
                if entry.name not in SKIPPED_FOLDERS and not entry.name.startswith("build"):
                    yield from self._read(entry)
            elif entry.suffix in TEXT_SUFFIXES and entry.name != ".git" and entry.is_file():
                try:
                    text = entry.read_text(encoding="utf-8")
                except UnicodeDecodeError:  # a key or a packet of the golden data
                    continue
                yield SourceFile(entry.relative_to(self.root).as_posix(), text)

    def cpp(self):
        return [file for file in self.files if file.is_cpp]
