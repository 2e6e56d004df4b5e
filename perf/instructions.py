#!/usr/bin/env python3
"""Instructions per packet of the dataplane's own code, by stage, as callgrind counts them.

They repeat to a fraction of an instruction on the noisiest machine, so a test can hold them
against perf/instructions.json. Only our functions count: IPsec-MB, DPDK and the C library are left
out (valgrind knows no AVX512, so IPsec-MB takes its AVX2 code there). The counts are those of the
release build by the compiler that is named in the file; with another they are not compared.

  instructions.py --program build/release/perf/pipeline_count            check
  instructions.py --program build/release/perf/pipeline_count --update   write the file anew
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

KEPT = pathlib.Path(__file__).parent / "instructions.json"
SLACK = 0.04  # of a stage's count, and one instruction more
LAPS = 8
CASES = [("gcm128", "enc", "64"), ("gcm128", "dec", "64"),
         ("cbc128-sha1", "enc", "imix"), ("cbc128-sha1", "dec", "imix")]
# A function of cohort::dataplane belongs to the first stage whose pattern its name matches.
STAGES = [
    ("classify", r"classify|parse_"),
    ("lookup", r"look_up|decide_misses|flags_of"),
    ("judge", r"judge_"),
    ("find", r"find_sas|SaFinder|SaTable"),
    ("cipher", r"Cipher::|seal_gcm|open_gcm"),
    ("esp", r"esp_out|esp_in|lay_out|gather|draw_numbers|check|accept|unwrap|SaWorker|SaState"),
    ("rest", r""),
]
SKIPPED = 77  # meson's word for it


def stage_of(function):
    return next(name for name, pattern in STAGES if re.search(pattern, function))


def own_costs(path):
    """Self cost by function out of a callgrind file."""
    names, costs = {}, {}
    function, in_call = None, False
    for text in path.read_text().splitlines():
        match = re.match(r"fn=\((\d+)\)(?: (.*))?$", text)
        if match:
            if match[2]:
                names[match[1]] = match[2]
            function = names[match[1]]
            continue
        match = re.match(r"cfn=\((\d+)\) (.*)$", text)
        if match:
            names[match[1]] = match[2]
            continue
        if text.startswith("calls="):
            in_call = True  # the next line is the callee's cost
            continue
        match = re.match(r"[+*-]?\d* ?(\d+)$", text) if re.match(r"[\d+*-]", text) else None
        if match is None:
            continue
        if not in_call and function is not None:
            costs[function] = costs.get(function, 0) + int(text.split()[1])
        in_call = False
    return costs


def count(program, suite, direction, size):
    """Instructions per packet for each stage."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no",
             "--toggle-collect=cohort::perf::counted_laps*", f"--callgrind-out-file={out}",
             program, "--suite", suite, "--direction", direction, "--size", size,
             "--laps", str(LAPS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        match = re.search(r"packets (\d+)", done.stdout)
        if done.returncode != 0 or match is None:
            sys.exit(f"callgrind failed:\n{done.stdout}\n{done.stderr}")
        stages = {name: 0.0 for name, _ in STAGES}
        for function, cost in own_costs(out).items():
            if "cohort::dataplane::" in function:
                stages[stage_of(function)] += cost / int(match[1])
    stages = {name: round(value, 1) for name, value in stages.items()}
    return stages | {"all": round(sum(stages.values()), 1)}


def compiler_of(program):
    """What the compiler wrote into the program."""
    comment = subprocess.run(["readelf", "-p", ".comment", program], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    found = re.findall(r"(GCC: .*|.*clang version [\d.]+)", comment)
    return found[-1].strip() if found else "unknown"


def compare(kept, now):
    """Prints the table; returns what has grown."""
    grown = []
    names = [name for name, _ in STAGES] + ["all"]
    print(f"{'instructions per packet':24}" + "".join(f"{name:>10}" for name in names))
    for case, stages in now.items():
        print(f"{case:24}" + "".join(f"{stages[name]:10.1f}" for name in names))
        before = kept.get(case)
        if before is None:
            grown.append(f"{case}: not in {KEPT.name}")
            continue
        for name in names:
            if stages[name] > before[name] * (1 + SLACK) + 1:
                grown.append(f"{case}, {name}: {before[name]} before, {stages[name]} now")
    return grown


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed")
        return SKIPPED
    compiler = compiler_of(options.program)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if not options.update and kept.get("compiler") != compiler:
        print(f"kept for {kept.get('compiler')}, built by {compiler}: not comparable")
        return SKIPPED
    now = {" ".join(case): count(options.program, *case) for case in CASES}
    grown = compare({} if options.update else kept["counts"], now)
    if options.update:
        KEPT.write_text(json.dumps({"compiler": compiler, "counts": now}, indent=1) + "\n")
        return 0
    for sentence in grown:
        print("GROWN " + sentence)
    if grown:
        print("If it is worth it: instructions.py --update, and say why in the commit.")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
