"""Of two key servers one is left. It is killed, and then its machine loses its power: both times it
comes back alone with the group's AES-GCM keys and goes on with its sender ids; with its files put
back from a backup it begins fresh keys instead."""

import pathlib
import shutil

from lab import configs, scenario
from lab.coop_lab import CoopLab, Watch
from lab.marks import files_are_marked
from lab.namespaces import wait_for


def keys(seed):
    return seed.ks1.spis(), seed.ks1.kek()["spi"], seed.agreed_spis()


def come_back(seed, check, how, before):
    seed.ks1.start()
    wait_for(lambda: seed.ks1.role() == "Primary", 60, "election of the only key server")
    check(f"{how}: it comes back alone with the keys of before", keys(seed) == before,
          (before, keys(seed)))
    check(f"{how}: it knows what its disk is worth", not seed.ks1.events("COOP_STATE_UNPROVEN"),
          seed.ks1.events("COOP_STATE_UNPROVEN"))


def newcomer(seed, check, how, before):
    """A member that has lost everything registers, and is lent sender ids that nobody has had."""
    known = {sid for member in seed.ks1.members() for sid in member["sender_ids"]}
    seed.gm2.kill()
    seed.gm2.start()
    seed.await_registered(seed.gm2)
    lent = {sid for member in seed.ks1.members() for sid in member["sender_ids"]}
    check(f"{how}: a member that comes anew is lent other sender ids", lent - known, (known, lent))
    check(f"{how}: and nobody needed other keys", keys(seed) == before, (before, keys(seed)))
    check(f"{how}: the other one did not register again",
          seed.gm1.group()["registration"]["succeeded"] == 1, seed.gm1.group()["registration"])


def body(lab, check):
    seed = CoopLab(lab).up()
    seed.ks2.kill()
    wait_for(lambda: seed.ks1.role() == "Primary", 60, "election of the key server that is left")
    wait_for(lambda: seed.ks1.coop()["peers"][0]["status"] == "Dead", 60, "end of the other")
    before = keys(seed)
    watch = Watch(seed)
    seed.ks1.kill()
    come_back(seed, check, "kill -9", before)
    marked = files_are_marked(seed.ks1)
    if marked:
        seed.ks1.lose_power()
        come_back(seed, check, "power failure", before)
    watch.verdict(check, "all of that")
    newcomer(seed, check, "after it", before)
    from_backup(seed, check, before)


def from_backup(seed, check, before):
    state = pathlib.Path(seed.ks1.configuration["state_directory"])
    backup = seed.ks1.node.folder / "backup"
    shutil.copytree(state, backup)
    head = state / "coop" / configs.GROUP.encode().hex() / "65"
    written = head.stat().st_mtime_ns
    wait_for(lambda: head.stat().st_mtime_ns != written, 60, "state that is newer than its backup")
    seed.ks1.kill()
    shutil.rmtree(state)
    shutil.copytree(backup, state)
    seed.ks1.start()
    check("from a backup it does not know", bool(seed.ks1.events("COOP_STATE_UNPROVEN")))
    wait_for(lambda: seed.ks1.role() == "Primary", 60, "election of the only key server")
    seed.gm2.kill()
    seed.gm2.start()
    seed.await_registered(seed.gm2)
    wait_for(lambda: seed.agreed_spis() == seed.ks1.spis(), 60, "agreement on keys")
    after = keys(seed)
    check("and begins fresh keys for the first who needs a sender id",
          not after[2] & before[2] and after[1] != before[1], (before, after))


scenario.run(body)
