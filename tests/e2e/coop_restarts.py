"""Both key servers are restarted, one after the other, then both are killed at once and come back
from their disks: the members see nothing of it, and the keys stay what they were."""

from lab import scenario
from lab.coop_lab import CoopLab, Watch
from lab.namespaces import wait_for


def keys(seed):
    server = seed.primary()
    return server.spis(), server.kek()["spi"], seed.agreed_spis()


def rolling(seed, check):
    before = keys(seed)
    last = seed.primary()
    for server in (seed.other(last), last):
        status = server.stop()
        check(f"{server.node.name} stops when it is asked to", status == 0, status)
        wait_for(lambda: seed.other(server).role() == "Primary", 60, "primary that is left")
        server.start()
        seed.await_together()
    check("after a restart of each the keys are those of before", keys(seed) == before,
          (before, keys(seed)))
    check("the one that was restarted last did not take its office back",
          seed.primary() is not last, seed.roles())
    seed.rekey()
    check("and the group rekeys", keys(seed)[2] != before[2] and keys(seed)[2], keys(seed))


def from_disk(seed, check):
    seed.await_together()
    before = keys(seed)
    for server in (seed.ks1, seed.ks2):
        server.kill()
    answered = seed.ping(count=5)
    check("with no key server at all, the sites talk", answered == 5, answered)
    for server in (seed.ks1, seed.ks2):
        server.start()
    seed.await_together()
    check("both back from their disks: the same keys", keys(seed) == before, (before, keys(seed)))
    known = [len(server.members()) for server in seed.servers()]
    check("and the same members", known == [2, 2], known)
    seed.rekey()
    seed.await_together()
    check("which take the next rekey", keys(seed)[2] == seed.ks1.spis() != before[2], keys(seed))


def body(lab, check):
    seed = CoopLab(lab).up()
    watch = Watch(seed)
    rolling(seed, check)
    from_disk(seed, check)
    watch.verdict(check, "all restarts")


scenario.run(body)
