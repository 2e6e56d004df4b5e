"""Before the first registration a member passes the control protocols only; fail-open is a choice.
Enrolment through a closed member shows that the control protocols do pass."""

from lab import capture, scenario
from lab.seed_lab import SeedLab, only_esp


def _open(configuration):
    configuration["group_member"]["groups"][0]["fail_close"] = False


def body(lab, check):
    seed = SeedLab(lab)
    seed.start_authority()
    seed.start_members()
    for member in (seed.gm1, seed.gm2):
        seed.await_enrolled(member)
    check("members enrol through their own closed ports", True)
    tap = seed.tap()
    answered = seed.ping(count=5)
    packets = seed.between_sites(tap.stop())
    check("fail-close: no ping is answered", answered == 0, answered)
    check("fail-close: not one packet of the sites is on the WAN", not packets, packets[:3])
    check("fail-close: the drops have a name and a count", sum(seed.gm1.drops().values()) >= 5,
          seed.gm1.drops())
    for member in (seed.gm1, seed.gm2):
        member.stop()
    seed.gm1 = seed.start_member("gm1", _open)
    seed.gm2 = seed.start_member("gm2", _open)
    tap = seed.tap()
    answered = seed.ping(count=5)
    seen = capture.protocols(seed.between_sites(tap.stop()))
    check("fail-open: before registration traffic passes in clear",
          answered == 5 and seen[capture.ICMP] == 10, (answered, seen))
    seed.start_key_server()
    for member in (seed.gm1, seed.gm2):
        seed.await_registered(member)
    tap = seed.tap()
    answered = seed.ping(count=5)
    other = only_esp(seed.between_sites(tap.stop()))
    check("after registration it passes, as ESP only", answered == 5 and not other,
          (answered, other))


scenario.run(body)
