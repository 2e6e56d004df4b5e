"""./run bench --latency: what a worker adds to the latency of packets at several loads."""

import pathlib
import statistics

from changes import run

SUITES = ["gcm128", "cbc128-sha1"]
WAYS = ("busy", "resting")
QUANTILES = ("p50", "p99", "p99.9")
# A row claims its medians if those of its rounds are this near each other, in share or us.
SETTLED, SETTLED_US = 0.2, 0.2


def differences(row, way, quantile):
    """What was added in each round; rounds of an idle line have too few packets: all as one."""
    if row["load"] == 0:
        return [row[way]["all_us"][quantile] - row["plain"]["all_us"][quantile]]
    return [ours[quantile] - plain[quantile]
            for ours, plain in zip(row[way]["rounds_us"], row["plain"]["rounds_us"])]


def spread(values):
    """Half of what the middle of the values lies within."""
    if len(values) < 4:
        return (max(values) - min(values)) / 2
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def claims(row):
    """The quantiles of which something may be said."""
    if row["kept"] < 2 or row["kept"] * 2 < row["wanted"] or not row["first"] or \
            max(row[way]["spoilt"] for way in WAYS) > 0.6:
        return []
    if row["load"] == 0:
        packets = min(row[way]["packets"] for way in WAYS)
        return [name for name, least in zip(QUANTILES, (20, 1000, 10000)) if packets >= least]
    # Where a ring ran full, the machine was slower than when the capacity was measured.
    names = QUANTILES[:1] if any(row[way]["lost"] for way in WAYS) else QUANTILES
    return [name for q, name in enumerate(names)
            if all(row[f"{way}_spread_us"][q] <=
                   max(SETTLED * row[f"{way}_added_us"][q], SETTLED_US) for way in WAYS)]


def judge(row):
    """Adds what follows from a row."""
    for way in WAYS:
        added = [differences(row, way, q) for q in range(3)] if row["kept"] else []
        row[f"{way}_added_us"] = [statistics.median(values) for values in added]
        row[f"{way}_spread_us"] = [spread(values) for values in added]
    row["claims"] = claims(row)
    return row


EXPLAINED = f"""\
# One thread makes packets when they are due (at random, that many a second) and takes them back,
# another CPU is the worker between two rings. Latency is from when a packet was due. Added: less
# that of the same load through the same ports and a loop without a pipeline, the median of rounds;
# max is not less anything. Load is the share of what the worker takes at most, measured before and
# after each round; burst is what it received at once. Lost: but for what pauses of the machine
# lost. Left out: packets that such a pause delayed, and rounds in which its speed changed. Settled:
# half of what the middle half of the rounds lies within is under {SETTLED:.0%} or {SETTLED_US} us.
"""
HEAD = (f"{'':43}{'plain forwarding, us':^24}{'added if it never sleeps, us':^32}"
        f"{'added if it sleeps up to 100 us':^32}\n"
        f"{'suite':14}{'dir':4}{'size':>5}{'load':>7}{'Mpps':>8}{'burst':>7}"
        f"{'p50':>8}{'p99':>8}{'p99.9':>8}" + 2 * f"{'p50':>8}{'p99':>8}{'p99.9':>8}{'max':>8}" +
        f"{'lost':>7}{'left out':>10}  settled")


def line(row):
    load = "idle" if row["load"] == 0 else f"{row['load']:.0%}"
    start = f"{row['suite']:14}{row['direction']:4}{row['size']:>5}{load:>7}"
    if not row["kept"]:
        return f"{start}  the machine changed its speed in each of {row['rounds']} rounds"
    plain = row["plain"]["rounds_us"] if row["load"] else [row["plain"]["all_us"]]
    text = f"{start}{row['pps'] / 1e6:8.3f}{row['busy']['burst']:7.1f}"
    text += "".join(f"{statistics.median(p[q] for p in plain):8.2f}" for q in range(3))
    for way in WAYS:
        text += "".join(f"{value:8.2f}" for value in row[f"{way}_added_us"])
        text += f"{row[way]['all_us'][3]:8.1f}"
    lost = sum(row[way]["lost"] for way in WAYS)
    spoilt = max(row[way]["spoilt"] for way in WAYS)
    left_out = f"{spoilt:.0%}, {row['rounds'] - row['kept']}/{row['rounds']}"
    return f"{text}{lost:7}{left_out:>10}  {', '.join(row['claims']) or 'noise: no claim'}"


def table(options):
    """Each suite and size in a process of its own."""
    program = pathlib.Path(options.program).parent / "latency_bench"
    sizes = options.sizes or ("imix" if options.quick else "64,imix,1420")
    loads = "0,0.1,0.5,0.9" if options.quick else "0,0.1,0.5,0.8,0.9,0.95"
    rounds = 3 if options.quick else 6
    print(EXPLAINED + HEAD)
    rows = []
    for suite in options.suites.split(","):
        for size in sizes.split(","):
            found = run(program, "--suite", suite, "--size", size, "--directions",
                        options.directions, "--loads", loads, "--rounds", rounds)
            rows += [judge(row) for row in found]
            print("\n".join(line(row) for row in rows[-len(found):]), flush=True)
    if not all(row["first"] for row in rows):
        print("# SCHED_FIFO was not permitted: both threads shared their CPUs, nothing is claimed")
    unsettled = sum(not row["claims"] for row in rows)
    print(f"# {unsettled} of {len(rows)} rows are not settled: nothing is claimed for them")
    return rows
