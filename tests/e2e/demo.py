"""demo.py [--fast] [--keep | --down]: two sites, two key servers, one group key, on real packets.

Builds the seed lab, lets everybody enrol, the key servers elect and the members register; shows
with pings, TCP, a capture and tshark what a group is; kills the primary key server with traffic
flowing. Ends with a verdict and leaves nothing behind; --keep leaves the lab up, --down removes it.
"""

import argparse
import pathlib
import sys
import time

from lab import capture, configs, daemons, scenario, traffic
from lab.coop_lab import CoopLab
from lab.namespaces import Lab, LabError, become_root, remove, wait_for
from lab.seed_lab import only_esp
from lab.topology import SITE1, SITE2, address_of

# How key servers watch each other, so that nobody has to wait a minute for an election.
PACE = {"announce": "2s", "silent": "3s", "dead": "6s", "scale": "a tenth"}
FAST_PACE = {"announce": "200ms", "silent": "400ms", "dead": "900ms", "scale": "about a hundredth"}
KEPT = "cohort-demo"  # the name of a lab that stays


class Story:
    """Prints what happens, and remembers what did not go as it should."""

    def __init__(self):
        self.start = time.monotonic()
        self.failures = []
        self.logged = {}

    def say(self, text):
        print(f"[{time.monotonic() - self.start:5.1f} s] {text}", flush=True)

    def claim(self, holds, text, otherwise):
        """A step whose outcome is checked."""
        if holds:
            self.say(text)
        else:
            self.failures.append(otherwise)
            self.say(f"FAILED: {otherwise}")

    def show(self, text):
        print("\n".join("    | " + line for line in text.strip("\n").splitlines()), flush=True)

    def log(self, server):
        """What a key server has logged of its peers since the last time."""
        lines = server.log_lines("COOP_[A-Z_]+")
        self.show("\n".join(lines[self.logged.get(server, 0):]))
        self.logged[server] = len(lines)


def bring_up(story, seed, pace):
    story.say("network: hosts h1 (10.0.0.10) and h2 (172.16.0.10), a router as the WAN, "
              "and namespaces for ca, ks1, ks2, gm1, gm2")
    seed.start_authority()
    story.say("ca: certificate authority up on 10.191.61.120, SCEP on port 80; its fingerprint is")
    story.say(f"    SHA-256 {seed.fingerprint}")
    bring_up_key_servers(story, seed, pace)
    seed.start_members()
    for member, site in ((seed.gm1, SITE1), (seed.gm2, SITE2)):
        seed.await_enrolled(member)
        story.say(f"{site.member}: DPDK workers between {site.network} and the WAN; "
                  "enrolled by SCEP")
    for member, site in ((seed.gm1, SITE1), (seed.gm2, SITE2)):
        seed.await_registered(member)
        story.say(f"{site.member}: phase 1 by certificate and GROUPKEY-PULL with "
                  f"{_registered_with(member)} done; sends with SPI {_spis(member.sending())}")
    wait_for(seed.together, 60, "agreement of the key servers")
    known = [len(server.members()) for server in seed.servers()]
    story.claim(known == [2, 2], "each key server knows both members, whoever registered them",
                f"the key servers know {known} members")


def bring_up_key_servers(story, seed, pace):
    seed.start_first()
    story.say("ks1: believes that fingerprint only, made an RSA key pair of 2049 bits, enrolled by "
              "SCEP; serves group 484 on UDP 848")
    story.say(f"ks1: key servers announce each {pace['announce']}, ask after {pace['silent']} and "
              f"elect after {pace['dead']}: {pace['scale']} of the product's 20, 30 and 60 s")
    story.log(seed.ks1)
    seed.start_second()
    story.say("ks2: enrolled too; it waits for the key pair that signs rekeys")
    pem = seed.share_signing_key()
    form = pem.splitlines()[0].strip("-").removeprefix("BEGIN ").lower()
    story.say(f"ks1: cohort crypto key export {configs.SIGNING_KEY} writes a PEM file, {form}; "
              f"ks2: cohort crypto key import {configs.SIGNING_KEY}")
    wait_for(seed.together, 60, "agreement of the key servers")
    story.say("ks2: hears that ks1 is primary, takes the group's state and follows")
    for server in seed.servers():
        story.log(server)
    for server in seed.servers():
        story.say(f"{server.node.name}: cohort show crypto gkm ks coop")
        story.show(server.cohort("show", "crypto", "gkm", "ks", "coop"))
    story.say("ks1: cohort show crypto gkm ks coop version")
    story.show(seed.ks1.cohort("show", "crypto", "gkm", "ks", "coop", "version"))


def talk(story, seed, fast):
    seed.warm_up()
    tap = seed.tap()
    count = 5 if fast else 20
    answered = seed.ping(count=count)
    story.claim(answered == count, f"h1 pings h2: {answered} of {count} answered",
                f"h1 pinged h2 and only {answered} of {count} were answered")
    size = 1_000_000 if fast else 10_000_000
    for back, who in ((False, "h1 to h2"), (True, "h2 to h1")):
        outcome = seed.transfer(size, back)
        rate = 16 * size / outcome["seconds"] / 1e6
        story.claim(outcome["intact"],
                    f"TCP {who}: {size // 1_000_000} MB each way, intact, {rate:.0f} Mbit/s",
                    f"TCP {who} was damaged")
    packets = seed.between_sites(tap.stop())
    other = only_esp(packets)
    story.claim(not other, f"capture on the WAN: {len(packets)} packets between the sites, all of "
                f"them ESP, from {SITE1.host_ip} to {SITE2.host_ip} and back: addresses preserved",
                f"the capture on the WAN holds {other}")
    clear = capture.decrypt(tap.path, seed.gm1.esp_sa(), "icmp")
    story.claim(len(clear) >= 2 * count,
                f"tshark, given the exported lab keys, finds the {len(clear)} pings inside",
                f"tshark decrypted {len(clear)} of {2 * count} pings")


def rekey(story, seed, fast):
    stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip, packets_per_second=1000)
    stream.flow(0.5)
    old = seed.gm1.sending()
    seed.rekey()
    new = seed.gm1.sending()
    stream.flow(1 if fast else 5)
    seen = stream.stop()
    story.claim(seen["sent"] > 0 and not seen["lost"] and not seen["duplicates"],
                f"rekey in mid-traffic: SPI {_spis(old)} became {_spis(new)}; of {seen['sent']} "
                "numbered datagrams there and back none was lost",
                f"a rekey lost {seen['lost']} of {seen['sent']} datagrams: {seen['ranges']}")


def fail_over(story, seed, fast):
    """The primary is killed with traffic flowing; the other one rekeys; the first comes back."""
    first = seed.primary()
    second = seed.other(first)
    one, other = first.node.name, second.node.name
    stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip, packets_per_second=1000)
    stream.flow(0.5)
    old, keys = seed.gm1.sending(), second.spis()
    registrations = [member.group()["registration"]["succeeded"] for member in seed.members()]
    first.kill()
    killed = time.monotonic()
    story.say(f"{one}, the primary, is killed (-9) with 1000 datagrams a second flowing")
    wait_for(lambda: second.role() == "Primary", 60, f"takeover by {other}")
    story.claim(second.spis() == keys, f"{other} is primary {time.monotonic() - killed:.1f} s "
                "later, with the very keys that the members have", f"{other} has other keys")
    story.log(second)
    seed.rekey()
    new = seed.gm1.sending()
    story.say(f"{other} rekeys: SPI {_spis(old)} became {_spis(new)} at both members")
    first.start()
    wait_for(seed.together, 60, f"return of {one}")
    story.claim(first.role() == "Secondary", f"{one} is back from its disk, has the new keys, and "
                "does not pre-empt though its priority is higher", f"{one} became primary again")
    story.log(first)
    story.log(second)
    seed.rekey()
    stream.flow(0.5 if fast else 3)
    seen = stream.stop()
    again = [member.group()["registration"]["succeeded"] for member in seed.members()]
    story.claim(again == registrations, "the members noticed nothing: nobody registered again",
                f"members registered again: {registrations} became {again}")
    story.claim(seen["sent"] > 0 and not seen["lost"] and not seen["duplicates"],
                f"of {seen['sent']} numbered datagrams there and back, from before the death to "
                "after a rekey that followed the return, none was lost",
                f"the failover lost {seen['lost']} of {seen['sent']} datagrams: {seen['ranges']}")
    story.say(f"{other}: cohort show crypto gkm ks coop")
    story.show(second.cohort("show", "crypto", "gkm", "ks", "coop"))


def next_in_list(story, seed):
    """The same again, with the other one dead: a member asks the next server of its list."""
    dead = seed.primary()
    member = next(one for one in seed.members()
                  if seed.server_lists[one.node.name][0] == dead.node.name)
    count = member.group()["registration"]["succeeded"]
    dead.kill()
    member.ask("gm register", group=configs.GROUP)
    wait_for(lambda: member.group()["registration"]["succeeded"] > count, 60,
             f"registration of {member.node.name}")
    story.say(f"{dead.node.name} is killed too; {member.node.name}, told to register, asks "
              f"{', then '.join(seed.server_lists[member.node.name])}: registered with "
              f"{_registered_with(member)}")
    dead.start()
    wait_for(seed.together, 60, f"return of {dead.node.name}")
    story.say(f"{dead.node.name} is back; {seed.primary().node.name} stays primary")


def _registered_with(member):
    address = member.group()["registration"]["registered_with"].rpartition(":")[0]
    return next(name for name in configs.KEY_SERVERS if address_of(name) == address)


def _spis(spis):
    return ", ".join(f"0x{spi:08x}" for spi in spis)


def play(story, lab, fast):
    pace = FAST_PACE if fast else PACE
    seed = CoopLab(lab, {name: pace[name] for name in ("announce", "silent", "dead")})
    bring_up(story, seed, pace)
    talk(story, seed, fast)
    rekey(story, seed, fast)
    fail_over(story, seed, fast)
    next_in_list(story, seed)
    story.say("gm1: cohort show crypto gkm group")
    story.show(seed.gm1.cohort("show", "crypto", "gkm", "group"))
    return seed.primary().node.name


def explain_kept(lab, primary):
    command = daemons.BUILD / "controlplane/daemon/cohort"
    print(f"""
The lab stays up. To play with it (as root):
  ip netns exec {lab.name}-h1 ping {SITE2.host_ip}
  ip netns exec {lab.name}-wan tcpdump -ni gm1
  {command} --socket {lab.folder}/gm1/admin.sock show crypto gkm group
  {command} --socket {lab.folder}/{primary}/admin.sock show crypto gkm ks coop
  {command} --socket {lab.folder}/{primary}/admin.sock show crypto gkm ks members
  {command} --socket {lab.folder}/{primary}/admin.sock ks rekey GETVPN
  {command} --socket {lab.folder}/{primary}/admin.sock coop elect GETVPN
Namespaces: {', '.join(lab.name + '-' + name for name in lab.nodes)}.
Files of each machine: {lab.folder}/NAME. To remove it all: ./run demo --down""")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", help="where the programs were built")
    parser.add_argument("--fast", action="store_true", help="less traffic, sub-second timers")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--down", action="store_true", help="remove a lab that was left up")
    return parser.parse_args()


def main():
    options = arguments()
    become_root()
    if options.down:
        print("the lab is removed" if remove(KEPT) else "there was no lab to remove")
        return 0
    if options.build:
        daemons.BUILD = pathlib.Path(options.build).resolve()
    if options.keep and remove(KEPT):
        print("the lab that an earlier --keep left up is removed first")
    story, primary = Story(), None
    with Lab(KEPT if options.keep else None, options.keep) as lab:
        try:
            primary = play(story, lab, options.fast)
        except LabError as error:
            story.failures.append(str(error).splitlines()[0])
            story.say(f"FAILED: {error}")
        except KeyboardInterrupt:
            story.failures.append("interrupted")
        if story.failures:
            lab.keep = False
            if story.failures != ["interrupted"]:
                scenario.print_logs(lab)
    seconds = time.monotonic() - story.start
    if story.failures:
        print(f"VERDICT: FAILED after {seconds:.0f} s: {'; '.join(story.failures)}")
        return 1
    print(f"VERDICT: PASSED in {seconds:.0f} s: two sites spoke under one group key, the WAN saw "
          "ESP only, and neither rekeys nor the death of a key server lost a packet")
    if options.keep:
        explain_kept(lab, primary)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before there was anything to undo
        sys.exit("interrupted")
