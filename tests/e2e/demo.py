"""demo.py [--fast] [--keep | --down]: two sites, one group key, on real packets.

Builds the seed lab with one key server, lets everybody enrol and register, and shows with pings,
TCP, a capture and tshark what a group is. Ends with a verdict and leaves nothing behind; --keep
leaves the lab up, --down removes it.
"""

import argparse
import pathlib
import sys
import time

from lab import capture, daemons, scenario, traffic
from lab.namespaces import Lab, LabError, become_root, remove
from lab.seed_lab import SeedLab, only_esp
from lab.topology import SITE1, SITE2

KEPT = "cohort-demo"  # the name of a lab that stays


class Story:
    """Prints what happens, and remembers what did not go as it should."""

    def __init__(self):
        self.start = time.monotonic()
        self.failures = []

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


def bring_up(story, seed):
    story.say("network: hosts h1 (10.0.0.10) and h2 (172.16.0.10), a router as the WAN, "
              "and namespaces for ca, ks1, gm1, gm2")
    seed.start_authority()
    story.say("ca: certificate authority up on 10.191.61.120, SCEP on port 80; its fingerprint is")
    story.say(f"    SHA-256 {seed.fingerprint}")
    seed.start_key_server()
    story.say("ks1: believes that fingerprint only, made an RSA key pair of 2049 bits, enrolled by "
              "SCEP; serves group 484 on UDP 848")
    seed.start_members()
    for member, site in ((seed.gm1, SITE1), (seed.gm2, SITE2)):
        seed.await_enrolled(member)
        story.say(f"{site.member}: DPDK workers between {site.network} and the WAN; "
                  "enrolled by SCEP")
    for member, site in ((seed.gm1, SITE1), (seed.gm2, SITE2)):
        seed.await_registered(member)
        story.say(f"{site.member}: phase 1 by certificate and GROUPKEY-PULL with ks1 done; sends "
                  f"with SPI {', '.join(f'0x{spi:08x}' for spi in member.sending())}")


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


def _spis(spis):
    return ", ".join(f"0x{spi:08x}" for spi in spis)


def play(story, lab, fast):
    seed = SeedLab(lab)
    bring_up(story, seed)
    talk(story, seed, fast)
    rekey(story, seed, fast)
    story.say("gm1: cohort show crypto gkm group")
    story.show(seed.gm1.cohort("show", "crypto", "gkm", "group"))
    return seed


def explain_kept(lab):
    command = daemons.BUILD / "controlplane/daemon/cohort"
    print(f"""
The lab stays up. To play with it (as root):
  ip netns exec {lab.name}-h1 ping {SITE2.host_ip}
  ip netns exec {lab.name}-wan tcpdump -ni gm1
  {command} --socket {lab.folder}/gm1/admin.sock show crypto gkm group
  {command} --socket {lab.folder}/ks1/admin.sock show crypto gkm ks members
  {command} --socket {lab.folder}/ks1/admin.sock ks rekey GETVPN
Namespaces: {', '.join(lab.name + '-' + name for name in lab.nodes)}.
Files of each machine: {lab.folder}/NAME. To remove it all: ./run demo --down""")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", help="where the programs were built")
    parser.add_argument("--fast", action="store_true", help="less traffic")
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
    story = Story()
    with Lab(KEPT if options.keep else None, options.keep) as lab:
        try:
            play(story, lab, options.fast)
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
          "ESP only, and the rekey lost nothing")
    if options.keep:
        explain_kept(lab)
    return 0


if __name__ == "__main__":
    sys.exit(main())
