"""./run bench --rekey and --cores: what changes of keys and policy cost, and how workers scale."""

import json
import pathlib
import subprocess
import sys

import svg

# suite, size, policy entries, SAs, seconds between changes, seconds with changes
MINUTE = [("gcm128", "imix", 100, 1, 1, 60), ("cbc256-sha256", "imix", 100, 1, 1, 60),
          ("gcm128", "imix", 1000, 1000, 1, 60)]
OFTEN = [("gcm128", "imix", entries, 1, 0.05, 5) for entries in (1, 10, 100, 1000)] + \
        [("gcm128", "imix", sas, sas, 0.05, 5) for sas in (10, 100, 1000)]


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def rekey_row(folder, case, quick):
    suite, size, entries, sas, period, seconds = case
    if quick:
        seconds = min(seconds, 5)
    return run(folder / "rekey_bench", "--suite", suite, "--size", size, "--entries", entries,
               "--sas", sas, "--period", period, "--seconds", seconds)


PHASE = f"{'Mpps':>8}{'least':>8}{'<0.97':>10}{'left':>7}"


def phase(rates):
    below = f"{rates['below_0.97']}/{rates['samples']}"
    return f"{rates['median_pps'] / 1e6:8.2f}{rates['least']:8.3f}{below:>10}{rates['left_out']:>7}"


def rekey_line(row):
    change, still = row["change_gap"], row["still_gap"]
    return (f"{row['suite']:14}{row['entries']:>8}{row['sas']:>6}{row['period_s']:>7g}"
            f"{row['changes']:>8}{row['lost'] + row['dropped']:>6}"
            f"{phase(row['rekeyed'])}{phase(row['quiet'])}"
            f"{change['p50_us']:8.1f}{change['p99_us']:8.1f}{change['max_us']:8.1f}"
            f"{still['p50_us']:8.1f}{still['p99_us']:8.1f}"
            f"{row['apply_ms_p50']:8.2f}{row['apply_ms_max']:8.2f}{row['memory'] / 1024:8.0f}")


def rekey(program, quick):
    """The minute at saturation, and changes as often as the control plane makes them."""
    folder = pathlib.Path(program).parent
    print("# One worker at saturation encrypts and decrypts each packet, another CPU replaces "
          "every key (PortPair::apply);\n"
          "# phases with changes and without take turns. Rates are of the worker's CPU time, in "
          "samples of 50 ms, against the\n# median of their phases: the least of them, and how "
          "many are under 0.97. Samples in which bare IPsec-MB, run in\n# between, went more than "
          "1 % off its usual pace, or a poll took over 0.5 ms, are the machine's and left out.\n"
          "# Gaps are between the ends of two polls in microseconds: the longest of the eight that "
          "follow a change, and the longest\n# of any eight, those left out in which the kernel "
          "took the CPU away.\n"
          f"{'':49}{'with changes':^33}{'quiet':^33}{'gap after a change':^24}{'any gap':^16}"
          f"{'apply, ms':^16}\n"
          f"{'suite':14}{'entries':>8}{'SAs':>6}{'every':>7}{'changes':>8}{'lost':>6}"
          f"{PHASE}{PHASE}{'p50':>8}{'p99':>8}{'max':>8}{'p50':>8}{'p99':>8}{'p50':>8}{'max':>8}"
          f"{'KiB':>8}")
    rows = []
    for case in MINUTE + OFTEN:
        rows.append(rekey_row(folder, case, quick))
        print(rekey_line(rows[-1]), flush=True)
    lost = sum(row["lost"] + row["dropped"] for row in rows)
    below = sum(row["rekeyed"]["below_0.97"] for row in rows)
    kept = sum(row["rekeyed"]["samples"] for row in rows)
    print(f"# {sum(row['changes'] for row in rows)} changes, {lost} packets lost, {below} of "
          f"{kept} samples with changes under 0.97 of their median")
    return rows, lost


def cores(program, options, plots):
    """Two workers against one."""
    folder = pathlib.Path(program).parent
    found = run(folder / "cores_bench", "--suites", options.suites, "--sizes",
                "64,imix,1420" if options.sizes is None else options.sizes,
                "--rounds", 100 if options.quick else 300)
    rows = found["rows"]
    print("# Two workers of one port pair, one policy, one SA and one sequence, each encrypting "
          "and decrypting every packet;\n# TSC cycles a packet, best of samples of 1 ms that take "
          "turns with both at once. Bare crypto: two threads that\n# share nothing, each with a "
          "copy of IPsec-MB, as workers have; under two times one, the machine's CPUs are less\n"
          "# than two cores. One copy: both threads call the same one.")
    print(f"{'suite':14}{'size':>5}{'one':>8}{'two: times one':>16}{'bare crypto':>13}"
          f"{'one copy':>10}")
    for row in rows:
        print(f"{row['suite']:14}{row['size']:>5}{row['alone_tsc']:8.0f}{row['speed_up']:16.2f}"
              f"{row['bare_speed_up']:13.2f}{row['one_copy_speed_up']:10.2f}")
    move = found["line_move_tsc"]
    print(f"# a cache line moves from one CPU's store to the other's in {move:.0f} cycles")
    if plots:
        pathlib.Path(plots).mkdir(parents=True, exist_ok=True)
        write_plot(rows, move, pathlib.Path(plots) / "cores.svg")
    return [row | {"line_move_tsc": move} for row in rows]


def modelled(cycles, move, workers):
    """Packets in the time of one by one worker, when each burst of 64 moves one line that all
    write: those who come at once wait for each other (M/D/1), and the line serves one at a time."""
    burst = 64 * cycles
    busy = workers * move / (burst + move)
    if busy >= 0.95:
        return burst / move
    waiting = move + busy * move / (2 * (1 - busy)) if workers > 1 else 0
    return workers * burst / (burst + waiting)


def write_plot(rows, move, path):
    counts = [1, 2, 4, 8, 16]
    series = {}
    for row in rows:
        if row["size"] == "64":
            name = row["suite"].split("-")[0] + " 64"
            series[f"{name}: model"] = [modelled(row["alone_tsc"], move, n) for n in counts]
            series[f"{name}: measured"] = [1, row["speed_up"], None, None, None]
    path.write_text(svg.lines("Workers of one port pair on one SA",
                              "times the rate of one; beyond two by the model of perf/README.md",
                              counts, series))
    print(f"# {path}")
