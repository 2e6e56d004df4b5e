#!/usr/bin/python3
"""ESP against other people's programs: scapy and tshark read what a member's dataplane encrypts,
and the dataplane reads what scapy encrypts. Every suite, IPv4 and IPv6, minimum to jumbo sizes.

usage: esp_peers.py MEMBER_DRIVER scapy_reads|tshark_reads|scapy_writes
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


def member(driver, directory, suite, keys, inside, outside, packets):
    """Runs the dataplane from capture to capture: what leaves inside, what leaves outside."""
    nothing = os.path.join(directory, "nothing.pcap")
    wrpcap(nothing, [Ether(**ETHER) / b"\0" * 46])
    names = {k: os.path.join(directory, k + ".pcap") for k in ("to_inside", "to_outside")}
    cipher, integrity, salt = keys
    command = [
        driver, "--mtu", "9600", "--packets", str(packets + 1), "--suite", suite, "--spi", str(SPI),
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


def main():
    driver, scenario = sys.argv[1:3]
    with tempfile.TemporaryDirectory(prefix="cohort-esp-") as directory:
        {"scapy_reads": scapy_reads, "tshark_reads": tshark_reads,
         "scapy_writes": scapy_writes}[scenario](
            driver, directory)


if __name__ == "__main__":
    main()
