"""What one key server says does not reach the other, which is heard itself: each believes something
else, both are primary for a while, and both rekey the same members. They hand out the same keys, so
the members notice nothing."""

from lab import scenario
from lab.coop_lab import CoopLab, Watch, short_lives
from lab.line import Partition
from lab.namespaces import wait_for
from lab.topology import address_of

GENERATIONS = 2


def mute(seed, check, silenced, deaf):
    """Cuts the way from one key server to the other for some generations of keys."""
    cut = Partition(seed.wan, ((address_of(silenced), address_of(deaf)),), both_ways=False)
    wait_for(lambda: set(seed.roles().values()) == {"Primary"}, 60, "primary on each side")
    known = [frozenset(seed.agreed_spis())]
    for _ in range(GENERATIONS):
        known.append(seed.next_keys(known))
    cut.heal()
    seed.await_together()
    check(f"{deaf} did not hear {silenced}: two primaries, the same keys, one primary in the end",
          True)


def body(lab, check):
    seed = CoopLab(lab, change=short_lives).up()
    watch = Watch(seed)
    epoch = seed.primary().coop()["epoch_id"]
    mute(seed, check, "ks1", "ks2")
    mute(seed, check, "ks2", "ks1")
    check("no new epoch was needed", seed.primary().coop()["epoch_id"] == epoch,
          seed.primary().coop())
    watch.verdict(check, "a line with one way")


scenario.run(body)
