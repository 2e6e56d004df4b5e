"""The seed lab with two key servers that serve the group together."""

from lab import configs, traffic
from lab.daemons import KeyServer
from lab.namespaces import wait_for
from lab.seed_lab import SeedLab
from lab.topology import SITE2, address_of

TEK_LIFETIME_S, KEK_LIFETIME_S = 14, 42  # of short_lives: half of it to bring the next ones

PASSPHRASE = "lab-passphrase"


def short_lives(configuration):
    """A change to the key servers' configuration: keys that are soon replaced by themselves."""
    configuration["profiles"]["gdoi-profile"]["lifetime"] = f"{TEK_LIFETIME_S}s"
    rekey = configuration["key_server"]["groups"][0]["rekey"]
    rekey.update({"lifetime": f"{KEK_LIFETIME_S}s", "acknowledge_wait": "1s"})


class CoopLab(SeedLab):
    """ks1 makes the key pair that signs rekeys, ks2 imports it. gm1 registers with ks2 first, gm2
    with ks1. Who is primary is asked, never assumed: a starved machine may have elected anew."""

    server_lists = {"gm1": ("ks2", "ks1"), "gm2": ("ks1", "ks2")}

    def __init__(self, lab, timers=None, change=lambda configuration: None):
        super().__init__(lab, key_servers=2)
        self.timers = timers or configs.SHORT_TIMERS
        self.change = change  # applied to each key server's configuration
        self.ks1 = self.ks2 = None

    # --- bringing it up -------------------------------------------------------------------------

    def _configuration(self, name):
        out = configs.key_server(self.lab.nodes[name], self.fingerprint)
        group = out["key_server"]["groups"][0]
        group["redundancy"] = configs.redundancy(name, self.timers)
        group["rekey"]["retransmit_interval"] = "1s"  # labs are for the impatient
        out["isakmp"]["retransmit_initial"] = "500ms"
        if name != "ks1":
            out["keys"][configs.SIGNING_KEY] = {"source": "import"}
        self.change(out)
        return out

    def start_first(self):
        """ks1, which makes the key pair for rekeys and, alone so far, elects itself."""
        self.ks1 = KeyServer(self.lab.nodes["ks1"], self._configuration("ks1")).start()
        self.await_enrolled(self.ks1)
        wait_for(lambda: self.ks1.role() == "Primary", 60, "election of the only key server")

    def start_second(self):
        """ks2, enrolled; it does not serve the group before it has the key pair for rekeys."""
        self.ks2 = KeyServer(self.lab.nodes["ks2"], self._configuration("ks2")).start()
        self.await_enrolled(self.ks2)

    def share_signing_key(self):
        """Export at ks1, import at ks2, by the operator's command. Returns what travelled."""
        folder = self.lab.folder
        secret, pem = folder / "passphrase", folder / f"{configs.SIGNING_KEY}.pem"
        secret.write_text(PASSPHRASE + "\n", encoding="ascii")
        secret.chmod(0o600)
        self.ks1.cohort("crypto", "key", "export", configs.SIGNING_KEY, "--file", pem,
                        "--passphrase-file", secret)
        text = pem.read_text(encoding="ascii")
        self.ks2.cohort("crypto", "key", "import", configs.SIGNING_KEY, "--file", pem,
                        "--passphrase-file", secret, "--exportable")
        pem.unlink()
        secret.unlink()
        return text

    def start_key_servers(self):
        self.start_first()
        self.start_second()
        self.share_signing_key()
        self.await_together()

    def start_member(self, name, change=lambda configuration: None):
        def impatient(configuration):
            configuration["isakmp"]["retransmit_initial"] = "500ms"
            configuration["group_member"]["groups"][0]["phase1_timeout"] = "3s"
            change(configuration)
        return super().start_member(name, impatient)

    def up(self):
        self.start_authority()
        self.start_key_servers()
        self.start_members()
        for member in self.members():
            self.await_registered(member)
        self.await_together()
        self.warm_up()
        return self

    # --- asking ---------------------------------------------------------------------------------

    def members(self):
        return [member for member in (self.gm1, self.gm2) if member]

    def servers(self):
        """Those that run and serve the group."""
        return [server for server in (self.ks1, self.ks2)
                if server and server.runs() and server.serves()]

    def roles(self):
        return {server.node.name: server.role() for server in self.servers()}

    def primary(self):
        """The one primary of those that run."""
        def found():
            primaries = [server for server in self.servers() if server.role() == "Primary"]
            return primaries[0] if len(primaries) == 1 else None
        return wait_for(found, 60, "single primary")

    def other(self, server):
        return self.ks2 if server is self.ks1 else self.ks1

    def rekeying_server(self):
        return self.primary()

    def rekey(self, kek=False):
        """New keys, until both members send with the primary's newest."""
        super().rekey(kek)
        self.await_newest()

    def await_newest(self):
        wait_for(lambda: self.agreed_spis() == self.primary().spis(), 60,
                 "members that send with the newest keys")

    def reachable(self):
        """Whether both run with one primary and hold each other's state."""
        both = [server.coop() for server in self.servers()]
        return (len(both) == 2 and {one["role"] for one in both} == {"Primary", "Secondary"}
                and all(peer["status"] == "Alive" and peer["synchronized"]
                        for one in both for peer in one["peers"]))

    def await_reachable(self):
        wait_for(self.reachable, 60, "key servers that follow one primary")

    def together(self):
        """Whether they also have the same keys."""
        both = [server.coop() for server in self.servers()]
        return (self.reachable() and len({one["epoch_id"] for one in both}) == 1
                and not any(one["members_blocked"] for one in both)
                and self.ks1.spis() == self.ks2.spis() != set())

    def await_together(self):
        wait_for(self.together, 60, f"agreement of {address_of('ks1')} and {address_of('ks2')}")

    def agreed_spis(self):
        """What both members send with, or nothing if that is not the same."""
        sending = {tuple(member.sending()) for member in self.members()}
        return set(sending.pop()) if len(sending) == 1 else set()

    def next_keys(self, known):
        """Waits until both members send with the same keys, which are none of those known."""
        def fresh():
            now = frozenset(self.agreed_spis())
            return now if now and not any(now & before for before in known) else None
        return wait_for(fresh, 60, "keys that both members send with")


class Watch:
    """Numbered datagrams there and back from construction to verdict(), and what members must not
    notice in between."""

    def __init__(self, seed, packets_per_second=500):
        self.seed = seed
        self.registrations = self._registrations()
        self.stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip, packets_per_second).flow(0.5)

    def _registrations(self):
        return {member.node.name: member.group()["registration"]["succeeded"]
                for member in self.seed.members()}

    def verdict(self, check, what, registered_again=()):
        """Checks that nothing was lost and that nobody registered again but those named."""
        seen = self.stream.flow(0.5).stop()
        check(f"{what}: of {seen['sent']} datagrams none is lost or doubled",
              seen["sent"] > 500 and not seen["lost"] and not seen["duplicates"],
              {**seen, "drops": [member.drops() for member in self.seed.members()]})
        now = self._registrations()
        again = {name for name, count in now.items() if count != self.registrations[name]}
        check(f"{what}: " + (f"{', '.join(registered_again)} alone registered again"
                             if registered_again else "nobody registered again"),
              again == set(registered_again), {"before": self.registrations, "now": now})
        return seen
