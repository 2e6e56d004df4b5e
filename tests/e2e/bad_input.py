"""Truncated, oversized, forged, replayed and senseless input at each entry: a named refusal, a
counter, and daemons that go on as if nothing had been."""

import json
import random
import socket
import struct

from lab import capture, hostile, scenario, topology
from lab.namespaces import LabError
from lab.seed_lab import SeedLab
from lab.topology import SITE1, SITE2

SEED = 20240848


def isakmp(exchange, payload=b"", length=None, flags=0, cookies=bytes(16), first=1, number=0):
    """An ISAKMP header (RFC 2408 3.1) and what follows it."""
    size = 28 + len(payload) if length is None else length
    return cookies + struct.pack(">BBBBII", first, 0x10, exchange, flags, number, size) + payload


def isakmp_messages():
    draw = random.Random(SEED)
    cookie = draw.randbytes(8)
    messages = [b"", b"\0", bytes(27), bytes(28), draw.randbytes(1400), draw.randbytes(60_000)]
    messages += [isakmp(2, draw.randbytes(40), length=size) for size in (0, 28, 0xffffffff)]
    messages += [isakmp(2, draw.randbytes(200), cookies=cookie + bytes(8)) for _ in range(20)]
    # An SA payload whose length runs past the message, and one that says nothing.
    messages += [isakmp(2, b"\0\0\xff\xff" + bytes(20), cookies=cookie + bytes(8)),
                 isakmp(2, b"\0\0\0\x04", cookies=cookie + bytes(8))]
    # Encrypted messages of SAs that nobody has: phase 1, PULL, PUSH, Informational.
    for exchange in (2, 5, 32, 33, 99):
        messages += [isakmp(exchange, draw.randbytes(64), flags=1, cookies=draw.randbytes(16),
                            first=8, number=draw.getrandbits(32)) for _ in range(5)]
    return messages


def at_udp_848(seed, check):
    for daemon, name in ((seed.ks, "ks1"), (seed.gm1, "gm1")):
        before = daemon.refusals()
        hostile.datagrams(seed.lab.nodes["ca"], topology.address_of(name), 848, isakmp_messages())
        after = daemon.refusals()
        grown = {reason: count - before.get(reason, 0) for reason, count in after.items()
                 if count > before.get(reason, 0)}
        check(f"UDP 848 of {name}: refused by name", len(grown) >= 3 and sum(grown.values()) >= 20,
              grown)
        check(f"UDP 848 of {name}: the daemon lives", daemon.alive())


def at_scep(seed, check):
    draw = random.Random(SEED)
    url = b"/cgi-bin/pkiclient.exe?operation="
    junk = draw.randbytes(5000)

    def post(body, length=None):
        size = len(body) if length is None else length
        return (b"POST " + url + b"PKIOperation HTTP/1.1\r\nHost: ca\r\nContent-Length: %d\r\n\r\n"
                % size + body)
    messages = [b"", b"\r\n", junk, b"GET " + b"A" * 100_000, b"GET / HTTP/1.1\r\n" +
                b"X: y\r\n" * 20_000, b"GET " + url + b"Nothing HTTP/1.0\r\n\r\n",
                b"GET " + url + b"PKIOperation&message=%00%ff HTTP/1.0\r\n\r\n",
                post(junk), post(b""), post(b"\x30\x80" * 2000), post(b"x", 1 << 40),
                post(b"\x30\x84\xff\xff\xff\xff" + junk)]
    before = seed.ca.ask("show crypto pki server")
    answers = hostile.streams(seed.lab.nodes["ks1"], topology.address_of("ca"), 80, messages)
    check("SCEP: nothing bad is answered with success beside a CertRep",
          not any(" 200" in line for line in answers[:7]), answers)
    check("SCEP: the authority lives", seed.ca.alive())
    after = seed.ca.ask("show crypto pki server")
    check("SCEP: no certificate was issued", after["certificates"] == before["certificates"],
          (before, after))
    good = hostile.streams(seed.lab.nodes["ks1"], topology.address_of("ca"), 80,
                           [b"GET " + url + b"GetCACert HTTP/1.0\r\n\r\n"])
    check("SCEP: an honest request is answered", " 200" in good[0], good)


def at_admin_socket(seed, check):
    draw = random.Random(SEED)
    lines = [b"\n", draw.randbytes(3000).replace(b"\n", b"") + b"\n", b"[" * 30_000 + b"\n",
             b"{}\n", b'{"command": 7}\n', b'{"command": "no such"}\n',
             b'{"command": "ks rekey", "arguments": {"group": ["x"]}}\n',
             b'{"command": "show version", "arguments": {"extra": 1}}\n', b"x" * 1_000_000]
    refused = []
    for line in lines:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(seed.ks.socket)
            try:
                connection.sendall(line)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65536)
            except OSError:
                answer = b""
        refused.append(not answer or json.loads(answer.splitlines()[0])["ok"] is False)
    check("admin socket: each is refused", all(refused), refused)
    try:
        seed.ks.ask("ks rekey", group="NOT-THERE")
        check("admin socket: a group that is not there is refused by name", False)
    except LabError as error:
        check("admin socket: a group that is not there is refused by name",
              "no_such_group" in str(error), error)
    check("admin socket: the daemon lives", seed.ks.alive())


def at_esp(seed, check):
    draw = random.Random(SEED)
    tap = seed.tap()
    seed.ping(count=5)
    tap.stop()
    to_h1 = [frame for frame in capture.raw_frames(tap.path)
             if frame[12:14] == b"\x08\x00" and frame[23] == capture.ESP
             and socket.inet_ntoa(frame[30:34]) == SITE1.host_ip]
    sample = to_h1[-1]
    forged = bytearray(sample)
    forged[-1] ^= 1
    forged[14 + 20 + 7] += 5  # a later sequence number, so that the replay check does not see it
    unknown = bytearray(sample)
    unknown[14 + 20:14 + 24] = b"\xde\xad\xbe\xef"
    # A clear UDP packet between the sites, and an ESP packet that ends in its header.
    clear, short = bytearray(sample), bytearray(sample[:14 + 20 + 6])
    clear[23] = capture.UDP
    short[16:18] = struct.pack(">H", 26)
    for frame in (clear, short):
        frame[24:26] = _checksum(frame[14:24] + b"\0\0" + frame[26:34])
    kinds = {"replayed": to_h1, "forged": [bytes(forged)] * 5, "unknown SPI": [bytes(unknown)] * 5,
             "clear": [bytes(clear)] * 5, "truncated": [bytes(short)] * 5,
             "random": [sample[:34] + draw.randbytes(64) for _ in range(5)]}
    for kind, frames in kinds.items():
        before = seed.gm1.drops()
        hostile.frames(seed.wan, SITE1.member, frames)
        seed.ping(count=1)  # what was sent before it has been worked on
        grown = {reason: count - before.get(reason, 0) for reason, count in seed.gm1.drops().items()
                 if count > before.get(reason, 0)}
        check(f"ESP, {kind}: dropped by name", sum(grown.values()) >= len(frames), grown)


def _checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", bytes(header)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack(">H", ~total & 0xffff)


def body(lab, check):
    seed = SeedLab(lab).up()
    group = seed.gm1.group()
    at_udp_848(seed, check)
    at_scep(seed, check)
    at_admin_socket(seed, check)
    at_esp(seed, check)
    now = seed.gm1.group()
    check("no key and no registration changed",
          [tek["spi"] for tek in now["teks"]] == [tek["spi"] for tek in group["teks"]]
          and now["registration"]["succeeded"] == 1, now)
    answered = seed.ping(SITE2.host_ip)
    check("and the sites still talk", answered == 5, answered)


scenario.run(body)
