"""Something happens to the keys or the policy in the middle of the sites' traffic."""

from lab import traffic
from lab.namespaces import wait_for
from lab.seed_lab import only_esp
from lab.topology import SITE2


def undisturbed(seed, check, what, act):
    """Runs act() in the middle of numbered datagrams, there and back. Returns what crossed the
    cable between the router and the first member."""
    tap = seed.tap()
    stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip, packets_per_second=1000).flow(0.5)
    before = seed.gm1.sending()
    act()
    after = seed.gm1.sending()
    seen = stream.flow(1).stop()
    packets = tap.stop()
    other = only_esp(seed.between_sites(packets))
    check(f"{what}: the members send with other keys than before",
          after and not set(before) & set(after), (before, after))
    check(f"{what}: nothing is lost, nothing is doubled",
          seen["sent"] > 500 and not seen["lost"] and not seen["duplicates"],
          {**seen, "drops": [seed.gm1.drops(), seed.gm2.drops()]})
    check(f"{what}: nothing crosses the WAN in clear", not other, other)
    return packets


def apply_policy(seed, acl_lines):
    """A reload of the key server's file, until both members send by a policy of so many lines with
    keys that they did not have before."""
    before = {spi for member in (seed.gm1, seed.gm2) for spi in member.sending()}
    seed.ks.write()
    seed.ks.ask("reload")
    wait_for(lambda: all(len(member.group()["acl"]) == acl_lines and member.sending()
                         and not before & set(member.sending())
                         for member in (seed.gm1, seed.gm2)), 60, "change to the new policy")
