"""Rekeys by multicast over the routed WAN: one message for all members, nobody registers again, and
no packet of the sites is lost."""

from lab import capture, multicast, scenario, topology
from lab.seed_lab import SeedLab
from lab.topology import SITE1, SITE2, SITES
from lab.under_traffic import undisturbed

REKEYS_TO = "239.192.1.190"


def pushes_to(packets, address):
    """GROUPKEY-PUSH messages to an address: UDP 848, exchange type 33 of ISAKMP."""
    return [packet for packet in packets
            if packet.protocol == capture.UDP and packet.destination == address
            and packet.ports[1] == 848 and packet.payload[8 + 18] == 33]


def rekeyed(seed, check, what, kek=False):
    """One rekey under traffic; what each member was told is captured on its cable."""
    tap2 = seed.tap(SITE2.member)
    before = {member: member.group()["rekeys"]["received"] for member in (seed.gm1, seed.gm2)}
    seen1 = undisturbed(seed, check, what, lambda: seed.rekey(kek=kek))
    for site, member, seen in ((SITE1, seed.gm1, seen1), (SITE2, seed.gm2, tap2.stop())):
        groupwide = pushes_to(seen, REKEYS_TO)
        alone = [packet for packet in pushes_to(seen, site.address)
                 if packet.source == topology.address_of("ks1")]
        check(f"{what}: {site.member} was told by multicast and by nothing else",
              groupwide and not alone, (len(groupwide), len(alone)))
        check(f"{what}: {site.member} took it",
              member.group()["rekeys"]["received"] > before[member], member.group()["rekeys"])


def body(lab, check):
    seed = SeedLab(lab)
    multicast.route(seed.wan, topology.address_of("ks1"), REKEYS_TO, "ks1",
                    [site.member for site in SITES])
    seed.up(rekey={"transport": "multicast", "multicast_destination": REKEYS_TO})
    transports = {member.group()["kek"]["transport"] for member in (seed.gm1, seed.gm2)}
    check("the members know that rekeys come by multicast", transports == {"Multicast"}, transports)
    kek = seed.gm1.group()["kek"]["spi"]
    rekeyed(seed, check, "TEK rekey")
    rekeyed(seed, check, "second TEK rekey")
    rekeyed(seed, check, "KEK rekey", kek=True)
    check("KEK rekey: both members hold the same new KEK",
          seed.gm1.group()["kek"]["spi"] == seed.gm2.group()["kek"]["spi"] != kek)
    rekeyed(seed, check, "TEK rekey under the new KEK")
    registrations = [member.group()["registration"]["succeeded"]
                     for member in (seed.gm1, seed.gm2)]
    check("nobody registered a second time", registrations == [1, 1], registrations)


scenario.run(body)
