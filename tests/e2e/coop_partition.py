"""The network splits, a key server and a member on each side, while the members' hosts still reach
each other: for three lifetimes of the traffic keys, and through a KEK's, each side gets its keys
from its own key server, and they are the same keys. When the split heals nobody registers again."""

from lab import scenario
from lab.coop_lab import CoopLab, Watch, short_lives
from lab.line import Partition
from lab.namespaces import wait_for
from lab.topology import address_of

GENERATIONS = 6  # a successor is handed out at half of a key's life


def last_from(member):
    return (member.group()["rekeys"]["last_from"] or "").rpartition(":")[0]


def partitioned(seed, check):
    sides = {seed.ks1: seed.gm2, seed.ks2: seed.gm1}
    ks1, ks2, gm1, gm2 = map(address_of, ("ks1", "ks2", "gm1", "gm2"))
    cut = Partition(seed.wan, ((ks1, ks2), (ks1, gm1), (ks2, gm2)))
    wait_for(lambda: set(seed.roles().values()) == {"Primary"}, 60, "primary on each side")
    keks = {seed.ks1.kek()["spi"]}
    known, from_own_side = [frozenset(seed.agreed_spis())], []
    for _ in range(GENERATIONS):
        known.append(seed.next_keys(known))
        from_own_side.append(all(last_from(member) == address_of(server.node.name)
                                 for server, member in sides.items()))
        keks.add(seed.ks1.kek()["spi"])
    check(f"in the partition: {GENERATIONS} generations of keys, the same on both sides", True)
    check("each side had them from its own key server", all(from_own_side), from_own_side)
    check("the KEK changed too, to the same one on both sides",
          len(keks) > 1 and seed.ks1.kek()["spi"] == seed.ks2.kek()["spi"], keks)
    answered = seed.ping(count=5)
    check("and the sites talk", answered == 5, answered)
    cut.heal()
    return known


def body(lab, check):
    seed = CoopLab(lab, change=short_lives).up()
    watch = Watch(seed)
    epoch = seed.primary().coop()["epoch_id"]
    known = partitioned(seed, check)
    seed.await_together()
    check("healed: one primary, both with the same state and keys", True)
    check("healed: no new epoch was needed", seed.primary().coop()["epoch_id"] == epoch,
          seed.primary().coop())
    primary = address_of(seed.primary().node.name)
    known.append(seed.next_keys(known))
    wait_for(lambda: {last_from(member) for member in seed.members()} == {primary}, 60,
             "rekey of both members by the one primary")
    check("healed: both members take their rekeys from it", True)
    watch.verdict(check, "partition and merge")


scenario.run(body)
