"""The line between the key servers loses a quarter of the packets and delays the others, so that
they overtake each other: both still hold the same state before it is used, a restarted server still
finds its peer, and the members notice nothing."""

from lab import scenario
from lab.coop_lab import CoopLab, Watch
from lab.line import PoorLine
from lab.topology import address_of

LOSS, DELAY_MS, SEED = 0.25, 60, 484


def body(lab, check):
    # Delays count against the patience with a silent peer.
    seed = CoopLab(lab, {"announce": "250ms", "silent": "1s", "dead": "3s"}).up()
    watch = Watch(seed)
    line = PoorLine(seed.ks1.node, address_of("ks1"), seed.ks2.node, address_of("ks2"), LOSS,
                    DELAY_MS, SEED)
    for number in (1, 2):
        seed.rekey()
        seed.await_together()
        check(f"rekey {number} over the poor line: both key servers and both members have the keys",
              seed.agreed_spis() == seed.ks1.spis() == seed.ks2.spis(),
              (seed.agreed_spis(), seed.ks1.spis(), seed.ks2.spis()))
    again = sum(peer["retransmissions"] for server in seed.servers()
                for peer in server.coop()["peers"])
    check("what was lost was sent again", again > 0, seed.ks1.coop()["peers"])
    secondary = seed.other(seed.primary())
    secondary.kill()
    secondary.start()
    seed.await_together()
    check("a key server that died finds its peer over the poor line", True)
    seed.rekey()
    seed.await_together()
    carried, lost = line.stop()
    check("the line was poor", carried > 50 and lost > 10, (carried, lost))
    seed.await_together()
    watch.verdict(check, f"{lost} of {carried + lost} packets between the key servers lost")


scenario.run(body)
