"""The lab with plain bridges in place of the members: traffic flows, and the very checks that the
other scenarios trust say that it crossed the WAN in clear."""

from lab import capture, scenario, topology, traffic
from lab.line import Partition, PoorLine
from lab.topology import SITE1, SITE2


def lines_are_poor(lab, check):
    """That what the scenarios with two key servers suffer from is really there."""
    nodes = [lab.nodes[name] for name in ("ks1", "ks2")]
    one, other = map(topology.address_of, ("ks1", "ks2"))

    def pings(count=20):
        done = nodes[0].attempt("ping", "-n", "-q", "-c", count, "-i", "0.02", "-W", "1", other)
        return int(done.stdout.split(" received")[0].rpartition(" ")[2])
    cut = Partition(lab.nodes["wan"], ((one, other),))
    check("a partition separates the two", pings(3) == 0)
    cut.heal()
    answered = pings(3)
    check("and is healed", answered == 3, answered)
    line = PoorLine(nodes[0], one, nodes[1], other, 0.5, 5, 484)
    answered = pings()
    _, lost = line.stop()
    check("a poor line loses packets, and not all", 0 < answered < 20 and lost > 0,
          (answered, lost))
    answered = pings(3)
    check("without it they pass again", answered == 3, answered)


def body(lab, check):
    topology.build(lab, key_servers=2)
    for site in topology.SITES:
        topology.bridge_instead_of_dataplane(lab.nodes[site.member])
    h1, h2, wan = (lab.nodes[name] for name in ("h1", "h2", "wan"))
    for name in ("ca", "ks1", "ks2", "gm2"):
        target = topology.address_of(name)
        check(f"gm1 reaches {name}",
              lab.nodes["gm1"].attempt("ping", "-c", "1", "-W", "2", target).returncode == 0)
    lines_are_poor(lab, check)
    tap = capture.Capture(wan, SITE1.member)
    outcome = traffic.tcp_transfer(h1, h2, SITE2.host_ip, 2_000_000)
    check("TCP over IPv4 is intact", outcome["intact"], outcome)
    outcome = traffic.tcp_transfer(h2, h1, SITE1.host_ip6, 2_000_000)
    check("TCP over IPv6 is intact", outcome["intact"], outcome)
    stream = traffic.Stream(h1, h2, SITE2.host_ip).flow(0.5)
    lab.command("ip", "-n", wan.namespace, "link", "set", SITE2.member, "down")
    cut = stream.flow(0.5).stop()
    check("a cut cable is seen as loss", cut["lost"] and cut["received"] < cut["sent"], cut)
    seen = capture.protocols(capture.between(tap.stop(), SITE1.network, SITE2.network))
    check("the capture shows clear TCP and UDP and no ESP",
          seen[capture.TCP] and seen[capture.UDP] and not seen[capture.ESP], seen)


scenario.run(body)
