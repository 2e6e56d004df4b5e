"""The suite of the guide that the lab follows: AES-128-CBC with HMAC-SHA1-96."""

from lab import scenario
from lab.seed_lab import SeedLab
from lab_up_ping_tcp import traffic_is_protected


def body(lab, check):
    seed = SeedLab(lab).up(transform="aes-128-cbc-hmac-sha1")
    check("both members hold an AES-CBC key of 16 and an HMAC key of 20 octets",
          all((tek["cipher_key_octets"], tek["integrity_key_octets"]) == (16, 20)
              for member in (seed.gm1, seed.gm2) for tek in member.group()["teks"]),
          seed.gm1.group()["teks"])
    traffic_is_protected(seed, check, "AES-CBC")


scenario.run(body)
