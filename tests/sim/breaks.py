#!/usr/bin/env python3
"""Breaks the code on purpose and shows which oracle objects.

Each row of BREAKS changes a copy of the sources in one way, builds the simulator alone and runs it:
a case of tests/sim/scenarios, or a range of seeds. The break counts as caught if the run fails with
the oracle that the row names ("expectation": a line of the case), and passes without the break.
`--check` looks only whether every row still fits the sources.
"""
import argparse
import filecmp
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "build" / "breaks"
BUILD = "build/release"
COPIED = ["meson.build", "meson_options.txt", "meson.options", "controlplane", "coop", "gdoi",
          "pki", "config", "dataplane", "perf", "tests", "packaging", "docs", "README.md",
          "CHANGELOG.md", "LICENSE"]

# name, file, what is there, what stands there instead, run, oracle
BREAKS = [
    ("leases of sender ids overlap", "coop/sender_leases.cpp",
     "const auto first = static_cast<std::uint32_t>(space * i / servers.size());",
     "const auto first = static_cast<std::uint32_t>(i);",
     "--scenario old-disk-image", "nonce_reuse"),
    ("SEQ begins anew with each primary", "coop/group_sync.cpp",
     "next_seq(std::max(seq.used, last_used), kek_start_ms, now_ms(now), slot());",
     "next_seq(seq.used, now_ms(now), now_ms(now), slot());",
     "--scenario split-brain-for-ten-lifetimes", "seq_back"),
    ("every server takes the SEQ of the first", "coop/group_sync.cpp",
     "kek_start_ms, now_ms(now), slot());", "kek_start_ms, now_ms(now), 0);",
     "--scenario split-brain-for-ten-lifetimes", "seq_back"),
    ("an older epoch is taken", "coop/key_schedule.cpp",
     "if (mine.descends_from(theirs.id) || theirs_is_old) return MergePlan::keep;",
     "if (mine.descends_from(theirs.id) || theirs_is_old) return MergePlan::adopt_and_push;",
     "--scenario evictions-on-both-sides", "expectation"),
    ("keys live before the peers hold them", "coop/group_epochs.cpp",
     "if (preparing_ && (held_by_reachable(preparing_->change) || overdue))", "if (preparing_)",
     "--scenario refresh-is-held-before-use", "held_by_peers"),
    ("removed identities stay at one server", "coop/authority.cpp",
     "return group_.remove_identity(now, id, identity);", "return {};",
     "--scenario eviction-at-a-secondary", "expectation"),
    ("new keys go out under the KEK of who was excluded", "gdoi/ks_authority.cpp",
     "if (state_.keys.rekey && plan->era != era_) forget_era(now);", "(void)0;",
     "--scenario eviction-inside-a-partition-now", "evicted_reads"),
    ("every generation has the same key", "coop/key_schedule.cpp",
     "at = hkdf_expand(at, {as_bytes(label_next), line}, chain_secret_octets);", "(void)step;",
     "--scenario failover", "nonce_reuse"),
    ("chains share their SPIs", "coop/key_schedule.cpp",
     "const auto base = static_cast<std::uint32_t>(random.u64() % spi_space);",
     "const std::uint32_t base = 7; (void)random; return base;",
     "--scenario old-disk-image", "spi_two_keys"),
    ("a primary is heard, and ignored", "coop/group_roles.cpp",
     "} else if (yield_by_ == never) {", "} else if (false) {",
     "--scenario split-brain-for-ten-lifetimes", "expectation"),
    ("pseudotimes drift apart and merge to nothing", "coop/pseudotime.cpp",
     "if (heard_ms >= sane_ms || heard_ms <= now_ms(now)) return;", "return; (void)heard_ms;",
     "--scenario one-pseudotime-at-the-merge", "expectation"),
    ("sender ids are used before they are reserved", "coop/group_senders.cpp",
     "lease.next = own.asked;", "lease.next = lease.first;",
     "--scenario lone-restart", "nonce_reuse"),
    ("a deleted key is taken again", "gdoi/member_keys.cpp",
     "retired_.size() < retired_max && !retired_.contains(spi);", "retired_.size() < retired_max;",
     "--scenario deleted-key-that-comes-back", "nonce_reuse"),
    ("a recent disk is taken up where it stopped", "coop/group_senders.cpp",
     "const std::uint32_t next = std::clamp(*spent, lease.next, lease.end());",
     "const std::uint32_t next = lease.next;", "--scenario lone-rollback", "nonce_reuse"),
    ("every disk is taken for the last one", "coop/group_senders.cpp",
     "if (disk == Provenance::latest)", "if (disk <= Provenance::latest)",
     "--scenario lone-rollback", "nonce_reuse"),
    ("a lone key server takes up a recent disk where it stopped", "gdoi/ks_disk.cpp",
     "keys.sender_ids.resume_at(*spent);", "(void)0;", "--scenario alone-rollback", "nonce_reuse"),
]


# A break leaves things unused, which is an error in this house; everything else is built as usual,
# so that a compiler cache has it already.
UNUSED = "".join(f'#pragma GCC diagnostic ignored "-W{what}"\n' for what in (
    "unused-variable", "unused-parameter", "unused-function", "unused-but-set-variable"))
COMPILER = "ccache g++" if shutil.which("ccache") else "g++"


def sources():
    """A copy in which what differs is new to ninja, such as a break that an earlier call left."""
    for name in COPIED:
        whole = ROOT / name
        for file in [whole] if whole.is_file() else whole.rglob("*"):
            copy = SCRATCH / file.relative_to(ROOT)
            if file.is_dir() or (copy.exists() and filecmp.cmp(file, copy, shallow=False)):
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def build(jobs):
    if not (SCRATCH / BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", BUILD, "--buildtype=release"],
                       cwd=SCRATCH, check=True, stdout=subprocess.DEVNULL,
                       env={"CXX": COMPILER, **os.environ})
    done = subprocess.run(["ninja", "-C", BUILD, "--quiet", *jobs, "tests/sim/sim"], cwd=SCRATCH,
                          capture_output=True, text=True)
    return done.returncode == 0, done.stdout[-2000:]


def play(run):
    """What the run objected to, and how many seconds it took."""
    words = run.split()
    if words[0] == "--scenario":
        words[1] = str(ROOT / "tests/sim/scenarios" / (words[1] + ".scn"))
        words += ["--seeds", "1"]
    begun = time.monotonic()
    done = subprocess.run([str(SCRATCH / BUILD / "tests/sim/sim"), *words], capture_output=True,
                          text=True, errors="replace")
    took = time.monotonic() - begun
    objections = sorted(set(re.findall(r"^(?:FAILED.*: )?\[(\w+)\] at", done.stdout, re.M)))
    if re.search(r"^FAILED seed.*(not as expected|not settled).*", done.stdout, re.M):
        objections.append("expectation")
    if done.returncode not in (0, 1):
        objections.append(f"died ({done.returncode})")
    if done.returncode == 1 and not objections:
        objections.append(done.stdout[-400:])
    return objections, took


def play_broken(path, old, new, run, jobs):
    file = SCRATCH / path
    whole = (ROOT / path).read_text()
    file.write_text(UNUSED + whole.replace(old, new))
    built, said = build(jobs)
    result = play(run) if built else ([], 0.0)
    file.write_text(whole)
    return *result, said


def play_sound(runs, jobs):
    """The runs on the sources as they are: those that object are the result."""
    built, said = build(jobs)
    if not built:
        sys.exit(f"the sources do not build as they are: {said}")
    unsound = set()
    for run in runs:
        objections, took = play(run)
        print(f"   {'OBJECTS' if objections else 'passes'}  {run}, no break: "
              f"{', '.join(objections)} {took:.1f} s", flush=True)
        if objections:
            unsound.add(run)
    return unsound


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jobs", type=int, help="compilers at a time")
    parser.add_argument("only", nargs="*", type=int, help="rows, from 1")
    arguments = parser.parse_args()
    bad = 0
    for row, (name, path, old, _, _, _) in enumerate(BREAKS, 1):
        count = (ROOT / path).read_text().count(old)
        if count != 1:
            bad += 1
            print(f"row {row} ({name}): {count} places in {path}, not 1")
    if bad or arguments.check:
        print(f"{len(BREAKS)} breaks, {bad} do not fit the sources")
        return 1 if bad else 0
    sources()
    rows = [row for row in enumerate(BREAKS, 1) if not arguments.only or row[0] in arguments.only]
    jobs = ["-j", str(arguments.jobs)] if arguments.jobs else []
    unsound = play_sound(dict.fromkeys(row[1][4] for row in rows), jobs)
    for row, (name, path, old, new, run, oracle) in rows:
        objections, took, said = play_broken(path, old, new, run, jobs)
        caught = oracle in objections and run not in unsound
        bad += not caught
        print(f"{row:2} {'caught' if caught else 'MISSED'}  {name}: "
              f"{', '.join(objections) or said or 'no objection'} {took:.1f} s", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
