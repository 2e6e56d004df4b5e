"""SIGSTOP of the primary in the middle of a rekey, for longer than its peer waits: the other takes
over and rekeys. The first, when it wakes up, believes that no time has passed; it must do no harm.
"""

import re
import time

from lab import configs, scenario
from lab.coop_lab import CoopLab, Watch
from lab.namespaces import wait_for
from lab.topology import address_of


def offices_of(server):
    """What it has logged of itself becoming primary."""
    itself = re.compile(rf"(KS |ks=){re.escape(address_of(server.node.name))}\b")
    return [line for line in server.log_lines("COOP_KS_TRANS_TO_PRI") if itself.search(line)]


def body(lab, check):
    seed = CoopLab(lab).up()
    watch = Watch(seed)
    first = seed.primary()
    second = seed.other(first)
    offices = offices_of(first)
    first.ask("ks rekey", group=configs.GROUP, kek=False)
    first.pause()
    stopped = time.monotonic()
    wait_for(lambda: second.role() == "Primary", 60, "takeover by the other key server")
    seed.await_newest()
    check("the primary stopped in a rekey: the other takes over, and both members send with the "
          "newest keys", True)
    seed.rekey()
    new = seed.agreed_spis()
    # Long enough that whatever it had planned is due at once when it wakes up.
    wait_for(lambda: time.monotonic() - stopped > 5, 10, "five seconds")
    first.resume()
    seed.await_together()
    check("awake, it is a secondary", seed.roles() == {first.node.name: "Secondary",
                                                       second.node.name: "Primary"}, seed.roles())
    check("it never took its office back", len(offices) == len(offices_of(first)) > 0,
          first.log_lines("COOP_KS_[A-Z_]+"))
    check("no member sends with other keys than before it woke up", seed.agreed_spis() == new,
          (new, seed.agreed_spis()))
    seed.rekey()
    check("the next rekey reaches both members", bool(seed.agreed_spis() - new),
          seed.agreed_spis())
    watch.verdict(check, "a primary that slept")


scenario.run(body)
