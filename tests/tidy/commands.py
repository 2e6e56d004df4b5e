"""commands.py COHORT PAGE: each command of the program is in the page, with its whole name; as TAP.

The program's own --help says which there are, so a command that is added without a word about when
to use it fails here.
"""

import pathlib
import re
import subprocess
import sys


def parts_of(program, words):
    """What `cohort WORDS --help` lists below itself, without aliases."""
    text = subprocess.run([program, *words, "--help"], check=True, capture_output=True,
                          text=True, timeout=60).stdout
    listed = text.partition("Subcommands:\n")[2]
    return re.findall(r"(?m)^  ([a-z][a-z-]*)", listed)


def commands(program, words=()):
    below = parts_of(program, words)
    if not below:
        yield " ".join(words)
    for word in below:
        yield from commands(program, (*words, word))


def main(program, page):
    text = pathlib.Path(page).read_text(encoding="utf-8")
    names = list(commands(program))
    print(f"1..{len(names)}")
    missing = [name for name in names if f"cohort {name}" not in text]
    for number, name in enumerate(names, 1):
        print(f"{'not ok' if name in missing else 'ok'} {number} - cohort {name}")
    for name in missing:
        print(f"# {page} does not say when to use `cohort {name}`", file=sys.stderr)
    return 1 if missing or len(names) < 10 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
