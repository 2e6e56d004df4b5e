#!/usr/bin/env python3
"""Debian's dpdk-testpmd, and a tester of our own, against a running pair of members.

    tester or testpmd --memif-- member 1 ==memif, ESP== member 2 --memif-- testpmd or tester

Two cohortd encrypt and decrypt with keys of a third, the key server. The same is then done with a
plain dpdk-testpmd (forward-mode io) in the members' place, in the same run: figures of two
processes mean little alone, so they come as ratios. See perf/README.md.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from bench import Hugepages  # noqa: E402
from memif_lines import Bench, Failed, Loop, Pair, Plain, PlainLoop, Testpmd  # noqa: E402

GENERATORS = (  # title, forward mode and topology at the first inside port, and at the second
    ("flowgen at both ends", ("flowgen", "paired"), None),
    ("txonly to rxonly", ("txonly", "loop"), ("rxonly", "loop")),
    ("flowgen and back by 5tswap", ("flowgen", "loop"), ("5tswap", "loop")),
)


def arguments():
    parser = argparse.ArgumentParser(prog="run testpmd", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one size, short trials")
    parser.add_argument("--sizes", default="64,imix,1420", help="inner IP octets, or imix")
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="of a trial; RFC 2544 wants 60 for what is published")
    parser.add_argument("--suite", default="aes-128-gcm", help="a transform of configuration")
    parser.add_argument("--restarts", type=int, default=0, metavar="N",
                        help="instead: end and start the far ends of members' memifs N times "
                             "amid traffic, half of them by kill -9, and see the members live")
    parser.add_argument("--realtime", action="store_true",
                        help="SCHED_RR for the threads that poll, where others use the machine too")
    parser.add_argument("--only", choices=("tester", "testpmd"), help="one of the two tables")
    parser.add_argument("--json", help="write all figures")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.seconds = "imix", 0.3
    return options


class Priority:
    """Before others, if we may, for threads that share a CPU: nice alone counts only within a
    session where the kernel groups tasks by session."""

    group = pathlib.Path("/proc/self/autogroup")

    def __enter__(self):
        self.before = None
        try:
            os.nice(-15)
            before = self.group.read_text().split()[-1]
            self.group.write_text("-15")
            self.before = before
        except (OSError, IndexError):
            pass
        return self

    def __exit__(self, *_):
        if self.before is not None:
            self.group.write_text(self.before)


def own_network():
    """A network of our own, so that UDP 848 of 127.0.0.0/8 is free and nothing gets out."""
    if os.geteuid() != 0:
        sys.exit("testpmd: needs root, for hugepages and a network namespace")
    if os.environ.get("COHORT_TESTPMD") != "inside":
        os.environ["COHORT_TESTPMD"] = "inside"
        os.execvp("unshare", ["unshare", "--net", "--", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


# --- dpdk-testpmd ------------------------------------------------------------------------------


def generate(bench, line, near, far, seconds):
    """One of GENERATORS on a line; packets a second that arrive, and the share that is lost."""
    with contextlib.ExitStack() as stack:
        if far is None:
            first = stack.enter_context(Testpmd(
                bench, "gen", [line.client(0), line.client(1)], *near, cpu=bench.tester_cpu))
            ends = [first]
        else:
            first = stack.enter_context(Testpmd(
                bench, "gen", [line.client(0)], *near, cpu=bench.tester_cpu))
            ends = [stack.enter_context(Testpmd(
                bench, "far", [line.client(1)], *far, cpu=bench.tester_cpu)), first]
        receiver = ends[0] if far and near[0] == "txonly" else first
        for end in ends:
            end.command("start")
            end.raise_workers()
        receiver.await_traffic()
        before = receiver.totals()
        bench.pause(seconds)
        after = receiver.totals()
        for end in reversed(ends):  # who sends ends first
            end.command("stop")
            end.settle()
        sent, received = first.totals()["opackets"], receiver.totals()["ipackets"]
    rate = (after["ipackets"] - before["ipackets"]) / (after["time"] - before["time"])
    return {"received_pps": rate, "sent": sent, "received": received,
            "loss": 1 - received / sent if sent else 1.0}


def testpmd_table(bench, options):
    print("\n# dpdk-testpmd, 64-octet IP packets, as many as the rings take; its generators and "
          "the reflector share a CPU")
    print(f"{'':28}{'line':13}{'Mpps back':>10}{'lost':>9}{'to io':>7}")
    found = []
    for title, near, far in GENERATORS:
        base = None
        for kind in (Plain, Pair):
            with kind(bench) as line:
                figure = generate(bench, line, near, far, max(2.0, 2 * options.seconds))
            base = base or figure["received_pps"]
            found.append({"generator": title, "line": kind.name, **figure})
            print(f"{title if kind is Plain else '':28}{kind.name:13}"
                  f"{figure['received_pps'] / 1e6:10.3f}{figure['loss']:9.2%}"
                  f"{figure['received_pps'] / base:7.2f}", flush=True)
    return found


# --- the tester --------------------------------------------------------------------------------


def probe(bench, line, options):
    command = [bench.build / "perf/line_probe", "--send", line.client(0), "--receive",
               line.client(0 if line.echo else 1), "--sizes", options.sizes,
               "--seconds", str(options.seconds), "--cpu", str(bench.tester_cpu)]
    command += ["--echo", line.client(1)] if line.echo else []
    command = ["chrt", "-r", "1", *command] if bench.realtime else command
    done = subprocess.run(list(map(str, command)), text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Failed(f"line_probe on {line.name}: status {done.returncode}: {done.stderr.strip()}")
    return [json.loads(row) for row in done.stdout.splitlines()]


def late(figures):
    values = figures["latency_us"]
    return "".join(f"{values[key]:9.0f}" for key in ("p50", "p99", "p99.9"))


def probe_table(bench, options):
    print(f"\n# our tester, trials of {options.seconds:g} s; flood: more than the line takes; few "
          "lost: the fastest rate with at most 0.1 %\n# lost, and no-drop rate (RFC 2544 section "
          "26.1: throughput), each by halving to 3 %, a rate that fails being\n# tried twice; "
          "microseconds there and back (p50, p99, p99.9) at half and at a tenth of `few lost`")
    print(f"{'size':>5} {'line':13}{'flood':>7}{'lost':>7}{'few lost':>10}{'to io':>7}"
          f"{'no drop':>9}{'to io':>7}   {'at half: p50':>12}{'p99':>9}{'p99.9':>9}"
          f"{'a tenth: p50':>14}{'p99':>9}{'p99.9':>9}{'pause':>9}")
    lines = {Plain: Plain, Pair: Plain, PlainLoop: PlainLoop, Loop: PlainLoop}  # each and its io
    by_line = {}
    for kind in lines:
        with kind(bench) as line:
            by_line[kind] = probe(bench, line, options)
    found = []
    for i, size in enumerate(options.sizes.split(",")):
        for kind, plain in lines.items():
            row, base = by_line[kind][i], by_line[plain][i]
            found.append({"line": kind.name, **row})
            ratio = [row[key]["rate_pps"] / base[key]["rate_pps"] if base[key]["rate_pps"] else 0.0
                     for key in ("few_lost", "none_lost")]
            print(f"{size:>5} {kind.name:13}{row['flood']['received_pps'] / 1e6:7.2f}"
                  f"{row['flood']['loss']:7.1%}{row['few_lost']['rate_pps'] / 1e6:10.3f}"
                  f"{ratio[0]:7.2f}{row['none_lost']['rate_pps'] / 1e6:9.3f}{ratio[1]:7.2f}   "
                  f"{late(row['half']):>30}{late(row['calm']):>32}{row['pause_us'] / 1e3:9.1f}",
                  flush=True)
    return found


def restarts(bench, count):
    """The far end of members' memifs goes in mid-traffic, and comes back. DPDK's memif client does
    not connect again by itself, so dpdk-testpmd, which is one, is started anew each time."""
    testpmd_died = 0
    with Pair(bench) as line:
        def generator():
            new = Testpmd(bench, "gen", [line.client(0), line.client(1)], "flowgen", "paired",
                          cpu=bench.tester_cpu).start()
            new.command("start")
            new.await_traffic()
            return new
        running = generator()
        for number in range(1, count + 1):
            for kill in (False, True):
                running.stop(kill)
                running = generator()
                line.restart_second(kill)
                testpmd_died += running.died()
                running.abandon()
                running = generator()
            line.check_alive()
            print(f"# {number}: generator and second member ended, were killed, came back; traffic "
                  f"passes; dpdk-testpmd died {testpmd_died} times of its peer's end", flush=True)
        running.stop()
    print(f"{8 * count} times a member lost the far end of a memif amid traffic: no member died")


def headline(bench, options):
    cpus = len(os.sched_getaffinity(0))
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    print(f"# {options.suite}, memif with rings of 2048, no zero-copy, "
          f"{'2 MiB' if bench.huge else '4 KiB'} pages; tester on CPU {bench.tester_cpu}, members "
          f"on {', '.join(map(str, dict.fromkeys(bench.line_cpus)))}; load before the start "
          f"{load}\n"
          "# io: one dpdk-testpmd forwards in the members' place; loop: one member whose encrypted "
          "side the tester sends\n# back, so that it encrypts and decrypts, and one dpdk-testpmd "
          "likewise")
    if cpus < 4:
        print(f"# THIS MACHINE HAS {cpus} CPUs FOR FOUR BUSY THREADS: the members share one and "
              "take turns by the kernel's\n# scheduler. Rates are of that CPU for both, latency "
              "and loss are of the taking turns; `loop` has a CPU to itself.")


def main():
    options = arguments()
    own_network()
    # What was borrowed is given back, also when we are told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cohort-testpmd-"))
    result = {}
    try:
        with Priority(), Hugepages(wanted=288) as pages:
            bench = Bench(pathlib.Path(options.build).resolve(), folder, pages.enough(),
                          options)
            with bench:
                headline(bench, options)
                if options.restarts:
                    restarts(bench, options.restarts)
                    return 0
                for name, table in (("tester", probe_table), ("testpmd", testpmd_table)):
                    if options.only in (None, name):
                        result[name] = table(bench, options)
    except Failed as failure:
        print(f"testpmd: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
