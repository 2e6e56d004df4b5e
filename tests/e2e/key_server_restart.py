"""A key server that dies does not take the group with it; when it is back it goes on where it was:
same members, same keys, and sequence numbers that never go back."""

from lab import scenario, traffic
from lab.marks import files_are_marked
from lab.seed_lab import SeedLab
from lab.topology import SITE2


def body(lab, check):
    seed = SeedLab(lab).up()
    seed.rekey()
    sequence = seed.gm1.group()["rekeys"]["last_sequence"]
    stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip).flow(0.3)
    seed.ks.kill()
    answered = seed.ping(count=5)
    check("while the key server is dead, traffic goes on", answered == 5, answered)
    seed.ks.start()
    check("it restores its keys and members", bool(seed.ks.events("KS_STATE_RESTORED")),
          seed.ks.process.output())
    members = seed.ks.ask("show crypto gkm ks members")[0]["members"]
    check("it still knows both members", len(members) == 2, members)
    seed.rekey()
    group = seed.gm1.group()
    check("its next rekey is taken by the members, with a greater sequence number",
          group["rekeys"]["last_sequence"] > sequence, group["rekeys"])
    check("nobody had to register again", group["registration"]["succeeded"] == 1,
          group["registration"])
    seen = stream.flow(0.5).stop()
    check("death, restart and rekey lost nothing", seen["sent"] > 100 and not seen["lost"],
          seen)
    newcomer(seed, check)


def newcomer(seed, check):
    """Its machine loses its power, and a member comes anew: no sender id is lent twice, and the
    keys stay what they are."""
    before = seed.ks.spis()
    if files_are_marked(seed.ks):
        seed.ks.lose_power()
        seed.ks.start()
    lent = {sid for member in seed.ks.members() for sid in member["sender_ids"]}
    seed.gm2.kill()
    seed.gm2.start()
    seed.await_registered(seed.gm2)
    now = {sid for member in seed.ks.members() for sid in member["sender_ids"]}
    check("a member that comes anew is lent sender ids that nobody had", now - lent, (lent, now))
    check("and the keys are those of before", seed.ks.spis() == before, (before, seed.ks.spis()))
    check("nobody else registered again",
          seed.gm1.group()["registration"]["succeeded"] == 1, seed.gm1.group()["registration"])


scenario.run(body)
