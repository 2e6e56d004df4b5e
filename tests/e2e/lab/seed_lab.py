"""The seed lab with our daemons in it, brought up step by step."""

from lab import capture, configs, topology, traffic
from lab.daemons import Daemon, KeyServer, Member
from lab.namespaces import LabError, wait_for
from lab.topology import SITE1, SITE2


class SeedLab:
    """Network first, daemons by their own calls; up() does all of it in order."""

    server_lists = {"gm1": ("ks1",), "gm2": ("ks1",)}  # of each member, in the order to try

    def __init__(self, lab, key_servers=1):
        topology.build(lab, key_servers)
        self.lab = lab
        self.wan, self.h1, self.h2 = (lab.nodes[name] for name in ("wan", "h1", "h2"))
        self.fingerprint = None
        self.ca = self.ks = self.gm1 = self.gm2 = None

    def start_authority(self, change=lambda configuration: None):
        node = self.lab.nodes["ca"]
        configuration = configs.certificate_authority(node)
        change(configuration)
        self.ca = Daemon(node, configuration).start()
        self.fingerprint = self.ca.ask("show crypto pki server")["fingerprint_sha256"]

    def start_key_server(self, **options):
        node = self.lab.nodes["ks1"]
        self.ks = KeyServer(node, configs.key_server(node, self.fingerprint, **options)).start()
        self.await_enrolled(self.ks)

    def start_members(self):
        self.gm1, self.gm2 = (self.start_member(site.member) for site in topology.SITES)

    def start_member(self, name, change=lambda configuration: None):
        node = self.lab.nodes[name]
        configuration = configs.group_member(node, self.fingerprint, self.server_lists[name])
        change(configuration)
        return Member(node, configuration).start()

    def up(self, **options):
        self.start_authority()
        self.start_key_server(**options)
        self.start_members()
        for member in (self.gm1, self.gm2):
            self.await_registered(member)
        return self

    @staticmethod
    def await_enrolled(daemon, seconds=60):
        wait_for(daemon.enrolled, seconds, f"certificate for {daemon.node.name}")

    @staticmethod
    def await_registered(member, seconds=60):
        wait_for(member.registered, seconds, f"registration of {member.node.name}")

    def ping(self, target=SITE2.host_ip, count=5, source=None):
        """How many of so many pings are answered."""
        done = (source or self.h1).attempt("ping", "-n", "-q", "-c", count, "-i", "0.05", "-W", "1",
                                           target)
        return int(done.stdout.split(" received")[0].rpartition(" ")[2])

    def warm_up(self, target=SITE2.host_ip):
        """Until the first answer: neighbours are found, what a busy machine delayed has come."""
        wait_for(lambda: self.ping(target, 1), 20, f"answer from {target}")

    def transfer(self, octets=2_000_000, back=False, six=False):
        """A TCP transfer both ways, opened from one of the sides."""
        near, far, site = (self.h2, self.h1, SITE1) if back else (self.h1, self.h2, SITE2)
        return traffic.tcp_transfer(near, far, site.host_ip6 if six else site.host_ip, octets)

    def tap(self, interface=SITE1.member):
        return capture.Capture(self.wan, interface)

    @staticmethod
    def between_sites(packets, six=False):
        networks = (SITE1.network6, SITE2.network6) if six else (SITE1.network, SITE2.network)
        return capture.between(packets, *networks)

    def rekeying_server(self):
        return self.ks

    def rekey(self, kek=False):
        """Replaces the traffic keys (and the key-encryption key), and waits until both members
        send with the new ones."""
        before = {spi for member in (self.gm1, self.gm2) for spi in member.sending()}
        self.rekeying_server().ask("ks rekey", group=configs.GROUP, kek=kek)

        def taken():
            return all(set(member.sending()) and not before & set(member.sending())
                       for member in (self.gm1, self.gm2))
        wait_for(taken, 30, "change to the new keys")


def only_esp(packets):
    """An explanation of what else there is, or nothing."""
    seen = capture.protocols(packets)
    if not seen:
        return "nothing crossed the WAN"
    others = {protocol: count for protocol, count in seen.items() if protocol != capture.ESP}
    return f"besides ESP: {others}" if others else ""


__all__ = ["LabError", "SeedLab", "only_esp"]
