#!/usr/bin/env python3
"""Breaks the code on purpose and shows which oracle objects.

Each row of BREAKS changes a copy of the sources in one way, builds the simulator alone and runs it:
a case of tests/sim/scenarios, or a range of seeds. The break counts as caught if the run fails with
the oracle that the row names. `--check` looks only whether every row still fits the sources.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

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
     "--scenario failover", "nonce_reuse"),
    ("SEQ begins anew with each primary", "coop/group_sync.cpp",
     "next_seq(std::max(seq.used, last_used), kek_start_ms, now_ms(now), slot());",
     "next_seq(seq.used, now_ms(now), now_ms(now), slot());",
     "--scenario power-cut", "seq_back"),
    ("every server takes the SEQ of the first", "coop/group_sync.cpp",
     "kek_start_ms, now_ms(now), slot());", "kek_start_ms, now_ms(now), 0);",
     "--scenario split-brain-for-ten-lifetimes", "seq_back"),
    ("an older epoch is taken", "coop/key_schedule.cpp",
     "if (mine.descends_from(theirs.id) || theirs_is_old) return MergePlan::keep;",
     "if (mine.descends_from(theirs.id) || theirs_is_old) return MergePlan::adopt_and_push;",
     "--scenario refresh-is-held-before-use", ""),
    ("keys live before the peers hold them", "coop/group_epochs.cpp",
     "if (preparing_ && (held_by_reachable(preparing_->change) || overdue))", "if (preparing_)",
     "--scenario refresh-is-held-before-use", "held_by_peers"),
    ("removed identities stay at one server", "coop/authority.cpp",
     "return group_.remove_identity(now, id, identity);", "return {};",
     "--scenario eviction-inside-a-partition-now", "evicted_reads"),
    ("new keys go out under the KEK of who was excluded", "gdoi/ks_authority.cpp",
     "if (state_.keys.rekey && plan->era != era_) forget_era(now);", "(void)0;",
     "--scenario eviction-inside-a-partition-now", "evicted_reads"),
    ("every generation has the same key", "coop/key_schedule.cpp",
     "at = hkdf_expand(at, {as_bytes(label_next), line}, chain_secret_octets);", "(void)step;",
     "--scenario failover", "nonce_reuse"),
    ("chains share their SPIs", "coop/key_schedule.cpp",
     "const auto base = static_cast<std::uint32_t>(random.u64() % spi_space);",
     "const std::uint32_t base = 7; (void)random; return base;",
     "--scenario refresh-is-held-before-use", "spi_two_keys"),
    ("a primary is heard, and ignored", "coop/group_roles.cpp",
     "} else if (yield_by_ == never) {", "} else if (false) {",
     "--scenario split-brain-for-ten-lifetimes", ""),
    ("pseudotimes drift apart and merge to nothing", "coop/pseudotime.cpp",
     "if (heard_ms >= sane_ms || heard_ms <= now_ms(now)) return;", "return; (void)heard_ms;",
     "--scenario split-brain-with-drift", ""),
    ("sender ids are used before they are reserved", "coop/group_senders.cpp",
     "lease.next = own.asked;", "lease.next = lease.first;",
     "--seeds 60 --from 1 --jobs 2", "nonce_reuse"),
    ("a deleted key is taken again", "gdoi/member_keys.cpp",
     "retired_.size() < retired_max && !retired_.contains(spi);", "retired_.size() < retired_max;",
     "--seeds 1 --from 94", "nonce_reuse"),
    ("a recent disk is taken up where it stopped", "coop/group_senders.cpp",
     "const std::uint32_t next = std::clamp(*spent, lease.next, lease.end());",
     "const std::uint32_t next = lease.next;", "--scenario lone-rollback", "nonce_reuse"),
    ("every disk is taken for the last one", "coop/group_senders.cpp",
     "if (disk == Provenance::latest)", "if (disk <= Provenance::latest)",
     "--scenario lone-old-image", "nonce_reuse"),
    ("a lone key server takes up a recent disk where it stopped", "gdoi/ks_disk.cpp",
     "keys.sender_ids.resume_at(*spent);", "(void)0;", "--scenario alone-rollback", "nonce_reuse"),
]


# A break leaves things unused, which is an error in this house; everything else is built as usual,
# so that a compiler cache has it already.
UNUSED = "".join(f'#pragma GCC diagnostic ignored "-W{what}"\n' for what in (
    "unused-variable", "unused-parameter", "unused-function", "unused-but-set-variable"))
COMPILER = "ccache g++" if shutil.which("ccache") else "g++"


def sources():
    SCRATCH.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if not (ROOT / name).exists():
            continue
        subprocess.run(["rsync" if shutil.which("rsync") else "cp", "-a", str(ROOT / name),
                        str(SCRATCH)], check=True)


def build():
    if not (SCRATCH / BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", BUILD, "--buildtype=release"],
                       cwd=SCRATCH, check=True, stdout=subprocess.DEVNULL,
                       env={"CXX": COMPILER, **os.environ})
    done = subprocess.run(["ninja", "-C", BUILD, "--quiet", "tests/sim/sim"], cwd=SCRATCH,
                          capture_output=True, text=True)
    return done.returncode == 0, done.stdout[-2000:]


def play(run):
    words = run.split()
    if words[0] == "--scenario":
        words[1] = str(ROOT / "tests/sim/scenarios" / (words[1] + ".scn"))
        words += ["--seeds", "1"]
    done = subprocess.run([str(SCRATCH / BUILD / "tests/sim/sim"), *words], capture_output=True,
                          text=True, errors="replace")
    objections = sorted(set(re.findall(r"^(?:FAILED.*: )?\[(\w+)\] at", done.stdout, re.M)))
    unmet = re.search(r"^FAILED seed.*(not as expected|not settled).*", done.stdout, re.M)
    if unmet:
        objections.append("expectation")
    if done.returncode not in (0, 1):
        objections.append(f"died ({done.returncode})")
    return done.returncode, objections


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
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
    for row, (name, path, old, new, run, oracle) in enumerate(BREAKS, 1):
        if arguments.only and row not in arguments.only:
            continue
        file = SCRATCH / path
        whole = (ROOT / path).read_text()
        file.write_text(UNUSED + whole.replace(old, new))
        built, said = build()
        code, objections = play(run) if built else (None, [])
        file.write_text(whole)
        caught = built and code != 0 and (not oracle or oracle in objections)
        bad += not caught
        print(f"{row:2} {'caught' if caught else 'MISSED'}  {name}: "
              f"{', '.join(objections) or said}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
