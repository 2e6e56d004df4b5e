#!/usr/bin/python3
"""ESP against other people's programs: scapy and tshark read what a member's dataplane encrypts,
and the dataplane reads what scapy encrypts. Every suite, IPv4 and IPv6, minimum to jumbo sizes.

usage: esp_peers.py MEMBER_DRIVER scapy_reads|tshark_reads|scapy_writes|fragments|headers
"""

import itertools
import logging
import os
import random
import subprocess
import sys
import tempfile

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import Ether, IP, IPv6, TCP, UDP, ICMP, Raw, PcapReader, wrpcap  # noqa: E402
from scapy.layers.inet import fragment  # noqa: E402
from scapy.layers.inet6 import IPv6ExtHdrFragment, fragment6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402

# name of ours: cipher key, integrity key, salt, scapy's names, tshark's names
SUITES = {}
for bits in (128, 192, 256):
    SUITES[f"aes-{bits}-gcm"] = (bits // 8, 0, 4, "AES-GCM", None,
                                 "AES-GCM with 16 octet ICV [RFC4106]", "NULL")
    for hash_name, key, scapy_hash, tshark_hash in (
            ("sha1", 20, "HMAC-SHA1-96", "HMAC-SHA-1-96 [RFC2404]"),
            ("sha256", 32, "SHA2-256-128", "HMAC-SHA-256-128 [RFC4868]"),
            ("sha384", 48, "SHA2-384-192", "HMAC-SHA-384-192 [RFC4868]"),
            ("sha512", 64, "SHA2-512-256", "HMAC-SHA-512-256 [RFC4868]")):
        SUITES[f"aes-{bits}-cbc-hmac-{hash_name}"] = (
            bits // 8, key, 0, "AES-CBC", scapy_hash, "AES-CBC [RFC3602]", tshark_hash)

SPI = 0xC0403
SIZES = [64, 65, 66, 67, 68, 80, 576, 1420, 9000]
RANDOM = random.Random(20)
ETHER = dict(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def keys_of(suite):
    cipher, integrity, salt = SUITES[suite][:3]
    octets = lambda n: bytes(RANDOM.randrange(256) for _ in range(n))  # noqa: E731
    return octets(cipher), octets(integrity), octets(salt)


def scapy_sa(suite, keys, v6):
    cipher, integrity, salt = keys
    _, _, _, crypt, auth, _, _ = SUITES[suite]
    header = (IPv6(src="2001:db8:a::1", dst="2001:db8:b::1") if v6 else
              IP(src="10.0.0.1", dst="172.16.0.1"))
    return SecurityAssociation(ESP, spi=SPI, crypt_algo=crypt, crypt_key=cipher + salt,
                               auth_algo=auth, auth_key=integrity or None, tunnel_header=header)


def packet(size, v6, salt):
    """An IP packet of exactly `size` octets, or the smallest if that is more."""
    header = (IPv6(src="2001:db8:a::1", dst="2001:db8:b::1") if v6 else
              IP(src="10.0.0.1", dst="172.16.0.1", id=salt))
    transport = [UDP(sport=1000 + salt, dport=2000),
                 TCP(sport=1000 + salt, dport=40000, flags="A", seq=salt), ICMP()]
    transport = transport[salt % (2 if v6 else 3)]
    bare = len(bytes(header / transport))
    return header.__class__(bytes(header / transport / Raw(bytes(
        RANDOM.randrange(256) for _ in range(max(0, size - bare))))))


def clear_packets():
    return [packet(size, v6, i) for i, (size, v6) in
            enumerate(itertools.product([28, 48] + SIZES, (False, True)))]


def write(path, packets):
    wrpcap(path, [Ether(**ETHER) / p for p in packets])


def read(path):
    return [p for p in PcapReader(path)]


def member(driver, directory, suite, keys, inside, outside, packets, mtu=9600):
    """Runs the dataplane from capture to capture: what leaves inside, what leaves outside."""
    nothing = os.path.join(directory, "nothing.pcap")
    wrpcap(nothing, [Ether(**ETHER) / b"\0" * 46])
    names = {k: os.path.join(directory, k + ".pcap") for k in ("to_inside", "to_outside")}
    cipher, integrity, salt = keys
    command = [
        driver, "--mtu", str(mtu), "--packets", str(packets + 1), "--suite", suite,
        "--spi", str(SPI),
        "--cipher-key", cipher.hex(), "--integrity-key", integrity.hex(), "--salt", salt.hex(),
        "--inside", f"net_pcap0,rx_pcap={inside or nothing},tx_pcap={names['to_inside']}",
        "--outside", f"net_pcap1,rx_pcap={outside or nothing},tx_pcap={names['to_outside']}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{suite}: the member failed\n{done.stdout}")
    drops = [line for line in done.stdout.splitlines() if line.split(" ")[0].startswith("bad_")]
    if drops:
        sys.exit(f"{suite}: {drops}")
    return names["to_inside"], names["to_outside"]


def expect(condition, what):
    if not condition:
        sys.exit("FAILED: " + what)


def encrypted_by_us(driver, directory, suite, keys):
    packets = clear_packets()
    source = os.path.join(directory, "clear.pcap")
    write(source, packets)
    _, sealed = member(driver, directory, suite, keys, source, None, len(packets))
    return packets, sealed


def scapy_reads(driver, directory):
    for suite in SUITES:
        keys = keys_of(suite)
        packets, sealed = encrypted_by_us(driver, directory, suite, keys)
        frames = read(sealed)
        expect(len(frames) == len(packets), f"{suite}: {len(frames)} of {len(packets)} came out")
        for clear, frame in zip(packets, frames):
            v6 = IPv6 in frame
            outer = frame[IPv6 if v6 else IP]
            expect((outer.src, outer.dst) == (clear.src, clear.dst),
                   f"{suite}: addresses preserved")
            expect(ESP in frame, f"{suite}: ESP")
            opened = scapy_sa(suite, keys, v6).decrypt(outer)
            expect(bytes(opened) == bytes(clear),
                   f"{suite}: {len(clear)} octets, IPv{6 if v6 else 4}")
        print(f"scapy reads {suite}: {len(packets)} packets")


def tshark_reads(driver, directory):
    for suite in SUITES:
        keys = keys_of(suite)
        packets, sealed = encrypted_by_us(driver, directory, suite, keys)
        _, _, _, _, _, crypt, auth = SUITES[suite]
        cipher, integrity, salt = keys
        home = os.path.join(directory, "home")
        config = os.path.join(home, ".config", "wireshark")
        os.makedirs(config, exist_ok=True)
        with open(os.path.join(config, "esp_sa"), "w", encoding="ascii") as table:
            for family in ("IPv4", "IPv6"):
                auth_key = "0x" + integrity.hex() if integrity else ""
                table.write(f'"{family}","*","*","{SPI:#010x}","{crypt}",'
                            f'"0x{(cipher + salt).hex()}",'
                            f'"{auth}","{auth_key}"\n')
        environment = dict(os.environ, HOME=home, XDG_CONFIG_HOME=os.path.join(home, ".config"))
        fields = ["frame.number", "esp.icv_good", "esp.sequence", "ip.len", "ipv6.plen",
                  "_ws.malformed"]
        command = ["tshark", "-r", sealed, "-o", "esp.enable_encryption_decode:TRUE",
                   "-o", "esp.enable_authentication_check:TRUE", "-T", "fields",
                   "-E", "separator=;"]
        for field in fields:
            command += ["-e", field]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=True)
        out = done.stdout.splitlines()
        expect(len(out) == len(packets), f"{suite}: tshark saw {len(out)} packets")
        for clear, line in zip(packets, out):
            _, _, sequence, v4, v6, malformed = line.split(";")
            lengths = (v6 if IPv6 in clear else v4).split(",")
            inner = len(clear) - (40 if IPv6 in clear else 0)
            expect(len(lengths) == 2 and int(lengths[1]) == inner,
                   f"{suite}: tshark read {line!r}, an inner packet of {inner} was sent")
            expect(not malformed and sequence, f"{suite}: {line!r}")
            if integrity:
                expect(line.split(";")[1] in ("1", "True"), f"{suite}: ICV: {line!r}")
        print(f"tshark reads {suite}: {len(packets)} packets")


def scapy_writes(driver, directory):
    for suite in SUITES:
        keys = keys_of(suite)
        packets = clear_packets()
        sas = {v6: scapy_sa(suite, keys, v6) for v6 in (False, True)}
        sealed = []
        for number, clear in enumerate(packets):
            out = sas[IPv6 in clear].encrypt(clear, seq_num=number + 1)
            # scapy has one header per SA; every packet has the same addresses here.
            sealed.append(out.__class__(bytes(out)))
        source = os.path.join(directory, "sealed.pcap")
        write(source, sealed)
        opened, _ = member(driver, directory, suite, keys, None, source, len(packets))
        frames = read(opened)
        expect(len(frames) == len(packets), f"{suite}: {len(frames)} of {len(packets)} came out")
        for clear, frame in zip(packets, frames):
            layer = frame[IPv6 if IPv6 in clear else IP]
            expect(bytes(layer) == bytes(clear), f"{suite}: {len(clear)} octets")
        print(f"we read scapy's {suite}: {len(packets)} packets")


def put_together(packets):
    """The IPv4 or IPv6 packet of its fragments: {(addresses, id): octets of the payload}."""
    parts = {}
    for packet in packets:
        if IPv6 in packet:
            piece = packet[IPv6ExtHdrFragment]
            key, at, last = (packet.src, packet.dst, piece.id), piece.offset * 8, not piece.m
            data = bytes(piece.payload)
        else:
            key, at = (packet.src, packet.dst, packet.id), packet.frag * 8
            last = not packet.flags.MF
            data = bytes(packet.payload)
        parts.setdefault(key, []).append((at, last, data))
    out = {}
    for key, pieces in parts.items():
        pieces.sort()
        expect([at for at, _, _ in pieces] == [sum(len(data) for _, _, data in pieces[:n])
                                               for n in range(len(pieces))], "no gap, no overlap")
        expect([last for _, last, _ in pieces] == [False] * (len(pieces) - 1) + [True], "its end")
        out[key] = b"".join(data for _, _, data in pieces)
    return out


def fragments(driver, directory):
    """Fragments of hosts are encrypted as they come; what does not fit is fragmented before it is
    encrypted; ESP that the network has fragmented is put together and read."""
    long4 = [IP(bytes(IP(src="10.0.0.1", dst="172.16.0.1", id=300 + size) / UDP(dport=7) /
                      Raw(os.urandom(size)))) for size in (1420, 1472, 3000)]
    long6 = IPv6(src="2001:db8:a::1", dst="2001:db8:b::1") / IPv6ExtHdrFragment(id=77) / UDP(
        dport=7) / Raw(os.urandom(4000))
    hosts = [IP(bytes(one)) for one in fragment(long4[2], 1000)]
    hosts += [IPv6(bytes(one)) for one in fragment6(IPv6(bytes(long6)), 1280)]
    for suite in list(SUITES)[::4]:  # both modes and other paddings; the rest differs by its keys
        keys = keys_of(suite)
        source = os.path.join(directory, "clear.pcap")
        packets = long4[:2] + hosts
        write(source, packets)
        _, sealed = member(driver, directory, suite, keys, source, None, len(packets), 1500)
        opened = []
        for frame in read(sealed):
            v6 = IPv6 in frame
            expect(len(frame) <= 1514, f"{suite}: a frame of {len(frame)} octets")
            expect(v6 or (frame[IP].frag == 0 and not frame[IP].flags.MF), "no fragment of ESP")
            opened.append(scapy_sa(suite, keys, v6).decrypt(frame[IPv6 if v6 else IP]))
        whole = put_together([one for one in opened if IPv6 in one or one.frag or one.flags.MF])
        alone = [bytes(one) for one in opened if IPv6 not in one and not one.frag
                 and not one.flags.MF]
        for clear in long4:
            expect(bytes(clear) in alone or bytes(clear.payload) in whole.values(),
                   f"{suite}: a packet of {len(clear)} octets arrives")
        expect(bytes(long6[IPv6ExtHdrFragment].payload) in whole.values(), f"{suite}: IPv6")

        sent = scapy_sa(suite, keys, False).encrypt(long4[2], seq_num=1)
        write(source, [IP(bytes(one)) for one in fragment(IP(bytes(sent)), 1400)][::-1])
        inside, _ = member(driver, directory, suite, keys, None, source, 3, 9600)
        got = read(inside)
        expect(len(got) == 1 and bytes(got[0][IP]) == bytes(long4[2]),
               f"{suite}: ESP in fragments, the last one first: {got}")
        print(f"fragments with {suite}")


def headers(driver, directory):
    """DSCP, ECN, DF and the addresses of the outer header come from the inner one, which keeps all
    that it had (RFC 4301 section 5.1.2.1, RFC 5374 section 3.1); ECN marks on the way come in."""
    suite = "aes-128-gcm"
    keys = keys_of(suite)
    tos = [dscp << 2 | ecn for dscp in (0, 10, 46, 63) for ecn in range(4)]
    payload = UDP(dport=9) / Raw(b"x" * 40)
    clear = [IP(bytes(IP(src="10.0.0.1", dst="172.16.0.1", tos=value, ttl=3 + value % 200,
                         id=value + 1, flags="DF" if value % 2 else 0) / payload))
             for value in tos]
    clear += [IPv6(bytes(IPv6(src="2001:db8:a::1", dst="2001:db8:b::1", tc=value,
                              hlim=3 + value % 200, fl=0x12345) / payload)) for value in tos]
    source = os.path.join(directory, "clear.pcap")
    write(source, clear)
    _, sealed = member(driver, directory, suite, keys, source, None, len(clear))
    for before, frame in zip(clear, read(sealed)):
        v6 = IPv6 in before
        outer = frame[IPv6 if v6 else IP]
        expect(bytes(scapy_sa(suite, keys, v6).decrypt(outer)) == bytes(before), "the inner packet")
        marks = (before.tc, outer.tc) if v6 else (before.tos, outer.tos)
        expect(marks[0] == marks[1], f"DSCP and ECN: {marks}")
        expect(v6 or outer.flags.DF == before.flags.DF, "DF")
    for inner_ecn, outer_ecn, wanted in ((0, 3, None), (1, 3, 3), (2, 3, 3), (2, 1, 2), (1, 0, 1)):
        packet_ = IP(bytes(IP(src="10.0.0.1", dst="172.16.0.1", tos=0x28 | inner_ecn) /
                           UDP(dport=9) / Raw(b"y" * 40)))
        sent = scapy_sa(suite, keys, False).encrypt(packet_, seq_num=1)
        sent.tos = 0xb8 | outer_ecn
        del sent.chksum
        write(source, [IP(bytes(sent))])
        inside, _ = member(driver, directory, suite, keys, None, source, 1)
        got = [frame[IP].tos for frame in read(inside)]
        expect(got == ([] if wanted is None else [0x28 | wanted]) or (
            wanted is None and got == [0x28]), f"ECN {inner_ecn} in {outer_ecn}: {got}")
    print("headers")


def main():
    driver, scenario = sys.argv[1:3]
    with tempfile.TemporaryDirectory(prefix="cohort-esp-") as directory:
        {"scapy_reads": scapy_reads, "tshark_reads": tshark_reads,
         "scapy_writes": scapy_writes, "fragments": fragments, "headers": headers}[scenario](
            driver, directory)


if __name__ == "__main__":
    main()
