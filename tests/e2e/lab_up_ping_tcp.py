"""Everybody enrols, both members register, and the sites talk through ESP alone."""

from lab import capture, scenario, topology
from lab.seed_lab import SeedLab, only_esp
from lab.topology import SITE1, SITE2


def traffic_is_protected(seed, check, label):
    seed.warm_up()
    tap = seed.tap()
    answered = seed.ping(count=10)
    check(f"{label}: every ping is answered", answered == 10, answered)
    for back in (False, True):
        outcome = seed.transfer(back=back)
        check(f"{label}: TCP {'to h1' if back else 'to h2'} is intact", outcome["intact"], outcome)
    # 3000 octets: the host fragments, and the member must fit each fragment into its ESP packet.
    done = seed.h1.attempt("ping", "-n", "-c", "3", "-i", "0.1", "-s", "3000", SITE2.host_ip)
    check(f"{label}: pings of 3000 octets are answered", " 0% packet loss" in done.stdout,
          done.stdout)
    packets = seed.between_sites(tap.stop())
    other = only_esp(packets)
    check(f"{label}: the WAN sees ESP only, between the hosts' own addresses",
          not other and {packet.source for packet in packets} >= {SITE1.host_ip, SITE2.host_ip},
          other)
    clear = capture.decrypt(tap.path, seed.gm1.esp_sa(), "icmp && esp.icv_good == 1")
    check(f"{label}: tshark decrypts and authenticates the pings with the exported keys",
          len(clear) >= 20, f"{len(clear)} packets")


def too_big_is_said(seed, check):
    """A packet that ESP would make too long, and that must not be fragmented (RFC 4301 8.2)."""
    done = seed.h1.attempt("ping", "-n", "-c", "2", "-W", "1", "-M", "do", "-s", "1472",
                           SITE2.host_ip)
    text = done.stdout + done.stderr
    check("a full-size ping with DF is answered with too-big and an MTU",
          "mtu" in text.lower(), text)


def operator_sees(seed, check):
    group = seed.gm1.group()
    check("show: the member knows its key server, KEK, TEKs and policy",
          group["registration"]["registered_with"].startswith(topology.address_of("ks1"))
          and group["kek"] and len(group["teks"]) >= 1 and len(group["acl"]) == 2, group)
    text = seed.gm1.cohort("show", "crypto", "gkm", "group")
    check("show: the text has the group's name, identity and an SPI",
          all(word in text.lower() for word in ("getvpn", "484",
                                                f"{group['teks'][0]['spi']:08x}")), text)
    check("show: no key leaks into it",
          not any(part in text.lower() for line in seed.gm1.esp_sa()
                  for part in [line.split('"0x')[2].split('"')[0].lower()]), "")
    members = seed.ks.ask("show crypto gkm ks members")[0]["members"]
    check("show: the key server lists both members", len(members) == 2, members)
    certificate = seed.gm1.certificate()
    check("show: the certificate has the hostname and unit in its subject, and 2049 bits",
          "GETVPN_GM" in certificate["subject"] and certificate["key_bits"] == 2049, certificate)


def body(lab, check):
    seed = SeedLab(lab).up()
    check("authority, key server and members are up, enrolled and registered", True)
    traffic_is_protected(seed, check, "AES-GCM")
    too_big_is_said(seed, check)
    operator_sees(seed, check)


if __name__ == "__main__":
    scenario.run(body)
