"""A key server that dies does not take the group with it; when it is back it goes on where it was:
same members, same keys, and sequence numbers that never go back."""

from lab import scenario, traffic
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


scenario.run(body)
