"""Both key servers are restarted, one after the other, then both are killed at once and come back
from their disks, then one finds its disk damaged: the members see nothing of it, and the keys stay
what they were."""

import pathlib

from lab import scenario
from lab.coop_lab import CoopLab, Watch
from lab.namespaces import LabError, wait_for


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


def torn_state(seed, check):
    """A secondary whose disk has half of a file refuses it and says which; without the file it
    takes the state from the other key server."""
    before = keys(seed)
    server = seed.other(seed.primary())
    server.stop()
    folder = pathlib.Path(server.configuration["state_directory"], "coop")
    torn = max((path for path in folder.rglob("*") if path.is_file() and path.name != "state.key"),
               key=lambda path: path.stat().st_size)
    torn.write_bytes(torn.read_bytes()[:torn.stat().st_size // 2])
    try:
        server.start()
        said = "nothing, it runs"
    except LabError as error:
        said = str(error)
    check("a torn state file is refused, with its path", "coop_corrupt_state" in said
          and str(torn) in said, said)
    torn.unlink()
    server.start()
    seed.await_together()
    check("without it the key server has the group's keys from the other one",
          keys(seed) == before and server.spis() == before[0], (before, keys(seed)))


def body(lab, check):
    seed = CoopLab(lab).up()
    watch = Watch(seed)
    rolling(seed, check)
    from_disk(seed, check)
    torn_state(seed, check)
    watch.verdict(check, "all restarts")


scenario.run(body)
