"""The seed lab's network.

    h1 --- gm1 ---+          +--- gm2 --- h2       h1 10.0.0.10      h2 172.16.0.10
     10.0.0.0/24  |          |  172.16.0.0/16      gm1 10.191.61.116 gm2 10.191.61.117
                  +-- wan ---+                     ca 10.191.61.120  ks1 10.191.61.114
                  |          |                     ks2 10.191.61.115
     ca ----------+          +--- ks1, ks2

wan is a plain Linux router and knows nothing of encryption. It is the gateway of both sites: since
a member passes frames with their MAC addresses and packets keep their addresses, a site needs no
route and no ARP entry for it. A member's own address lives on `punt`, a tap that its dataplane
serves as the punt port, so ARP for it is answered by the member's kernel.
"""

from dataclasses import dataclass

GATEWAY, GATEWAY6 = "10.191.61.1", "fd00:191::1"
CA_NODE = "ca"


@dataclass(frozen=True)
class Site:
    """A member and the network it protects. Addresses with their prefix length."""
    member: str
    address: str
    address6: str
    host: str
    host_address: str
    host_address6: str
    gateway: str
    gateway6: str
    network: str
    network6: str

    @property
    def host_ip(self):
        return self.host_address.partition("/")[0]

    @property
    def host_ip6(self):
        return self.host_address6.partition("/")[0]


SITE1 = Site("gm1", "10.191.61.116", "fd00:191::116", "h1", "10.0.0.10/24", "fd00:10::10/64",
             "10.0.0.1/24", "fd00:10::1/64", "10.0.0.0/24", "fd00:10::/64")
SITE2 = Site("gm2", "10.191.61.117", "fd00:191::117", "h2", "172.16.0.10/16", "fd00:172::10/64",
             "172.16.0.1/16", "fd00:172::1/64", "172.16.0.0/16", "fd00:172::/64")
SITES = (SITE1, SITE2)
SERVERS = {CA_NODE: ("10.191.61.120", "fd00:191::120"), "ks1": ("10.191.61.114", "fd00:191::114"),
           "ks2": ("10.191.61.115", "fd00:191::115")}


def address_of(name):
    for site in SITES:
        if site.member == name:
            return site.address
    return SERVERS[name][0]


def build(lab, key_servers=1):
    """Makes the namespaces, cables, addresses and routes; no program of ours runs yet."""
    wan = lab.node("wan")
    wan.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1,
               net__ipv4__conf__all__send_redirects=0, net__ipv4__conf__default__send_redirects=0)
    wan.ip(f"addr add {GATEWAY}/32 dev lo", f"addr add {GATEWAY6}/128 dev lo")
    for name in [CA_NODE] + [f"ks{number + 1}" for number in range(key_servers)]:
        _add_server(lab, wan, name)
    for site in SITES:
        _add_site(lab, wan, site)


def _spoke_routes(interface):
    return (f"route add {GATEWAY} dev {interface}", f"route add default via {GATEWAY}",
            f"route add {GATEWAY6} dev {interface}",
            f"route add ::/0 via {GATEWAY6} dev {interface}")


def _add_server(lab, wan, name):
    node = lab.node(name)
    address, address6 = SERVERS[name]
    lab.link(wan, name, node, "eth0")
    node.ip(f"addr add {address}/32 dev eth0", f"addr add {address6}/128 dev eth0 nodad",
            *_spoke_routes("eth0"))
    wan.ip(f"route add {address} dev {name} src {GATEWAY}", f"route add {address6} dev {name}")


def _add_site(lab, wan, site):
    member, host = lab.node(site.member), lab.node(site.host)
    # The kernel owns nothing of the two ports: it must not answer what the dataplane forwards.
    member.sysctl(net__ipv6__conf__default__disable_ipv6=1, net__ipv4__conf__all__arp_ignore=1,
                  net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0)
    # Where br_netfilter is loaded, a bridge would judge and filter the packets that pass it.
    member.run("sh", "-c", "for file in /proc/sys/net/bridge/bridge-nf-call-*; do "
               "[ ! -e $file ] || echo 0 > $file; done")
    lab.link(member, "cable-in", host, "eth0")
    lab.link(member, "cable-out", wan, site.member)
    _add_port(member, "inside", "cable-in")
    _add_port(member, "outside", "cable-out")
    member.sysctl(net__ipv6__conf__default__disable_ipv6=0)
    # Persistent, so that it keeps its addresses while no dataplane has it open.
    member.ip("tuntap add dev punt mode tap multi_queue")
    member.ip(f"addr add {site.address}/32 dev punt",
              f"addr add {site.address6}/128 dev punt nodad")
    raise_punt(member)
    host.ip(f"addr add {site.host_address} dev eth0",
            f"addr add {site.host_address6} dev eth0 nodad",
            f"route add default via {site.gateway.partition('/')[0]}",
            f"route add ::/0 via {site.gateway6.partition('/')[0]}")
    # A veth peer may leave checksums and segmentation to hardware that is not there. Encrypted,
    # such a packet could never be repaired.
    host.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    wan.ip(f"addr add {site.gateway} dev {site.member}",
           f"addr add {site.gateway6} dev {site.member} nodad",
           f"route add {site.address} dev {site.member} src {GATEWAY}",
           f"route add {site.address6} dev {site.member}")
    wan.run("ethtool", "-K", site.member, "tx", "off", "tso", "off", "gso", "off", "gro", "off")


def _add_port(member, port, cable):
    """A tap for the dataplane, bridged to the cable. Opened directly by net_af_packet, the cable
    would do too, but then the kernel reassembles IPv4 fragments before the dataplane sees them
    (DPDK asks for PACKET_FANOUT_FLAG_DEFRAG). The queue is long for a machine that is busy."""
    bridge = f"br-{port}"
    member.ip(f"tuntap add dev {port} mode tap multi_queue", f"link set {port} txqueuelen 20000",
              f"link add name {bridge} type bridge mcast_snooping 0 ageing_time 0",
              f"link set {cable} master {bridge}", f"link set {port} master {bridge}",
              f"link set {port} up", f"link set {bridge} up")


def raise_punt(member):
    """Routes of the member itself; they are gone whenever a dataplane has closed the tap."""
    member.ip("link set punt up", *(line.replace("route add", "route replace")
                                    for line in _spoke_routes("punt")))


def bridge_instead_of_dataplane(member):
    """A plain bridge does what a member does, but encrypt: for testing the lab itself."""
    address = next(site.address for site in SITES if site.member == member.name)
    member.ip("link del punt", "link add name punt type bridge", "link set cable-in master punt",
              "link set cable-out master punt", f"addr add {address}/32 dev punt")
    raise_punt(member)
