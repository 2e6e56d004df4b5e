"""A member on hugepages talks to one on ordinary pages: the choice is of speed, not of what works.

Hugepages are the machine's: as many as are missing are asked for, and given back at the end. Where
the kernel has none to give, the scenario says so and is skipped.
"""

import pathlib
import re
import sys

from lab import scenario
from lab.namespaces import become_root
from lab.seed_lab import SeedLab
from lab.topology import SITE2

WANTED = 96  # of 2 MiB: the dataplane's 128 MiB, and what DPDK takes beside it
_ROOT = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def _read(name):
    return int((_ROOT / name).read_text(encoding="ascii"))


class Hugepages:
    """WANTED free ones, inside a `with`; false if they are not to be had."""

    def __enter__(self):
        self.before = _read("nr_hugepages") if _ROOT.exists() else 0
        if _ROOT.exists():
            self._set(self.before + max(0, WANTED - _read("free_hugepages")))
        return _ROOT.exists() and _read("free_hugepages") >= WANTED

    def __exit__(self, *_):
        if _ROOT.exists():
            self._set(self.before)

    @staticmethod
    def _set(number):
        try:
            (_ROOT / "nr_hugepages").write_text(str(number), encoding="ascii")
        except OSError:  # read-only in many a container
            pass


def on_hugepages(pid):
    """KiB of hugepages that a process has mapped."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"HugetlbPages:\s+(\d+)", status)[1])


def body(lab, check):
    seed = SeedLab(lab)
    seed.start_authority()
    seed.start_key_server()

    def wants_hugepages(configuration):
        configuration["dataplane"]["hugepages"] = True

    seed.gm1 = seed.start_member("gm1", wants_hugepages)
    seed.gm2 = seed.start_member("gm2")
    for member in (seed.gm1, seed.gm2):
        seed.await_registered(member)
    check("gm1's packets lie on hugepages", on_hugepages(seed.gm1.process.pid) >= 64 * 1024,
          on_hugepages(seed.gm1.process.pid))
    check("gm2's on ordinary pages", on_hugepages(seed.gm2.process.pid) == 0,
          on_hugepages(seed.gm2.process.pid))
    seed.warm_up()
    answered = seed.ping(SITE2.host_ip, count=10)
    check("every ping is answered", answered == 10, answered)
    for back in (False, True):
        outcome = seed.transfer(back=back)
        check(f"TCP {'to h1' if back else 'to h2'} is intact", outcome["intact"], outcome)
    seed.rekey()
    answered = seed.ping(SITE2.host_ip)
    check("and after a rekey", answered == 5, answered)


become_root()
with Hugepages() as free:
    if not free:
        print("1..0 # SKIP the kernel has no hugepages to give")
        sys.exit(0)
    scenario.run(body)
