"""What crosses a cable: a tcpdump capture, its packets, and what tshark reads with the keys."""

import ipaddress
import pathlib
import signal
import struct
import subprocess
import time
from collections import Counter
from dataclasses import dataclass

from lab.namespaces import LabError, wait_for

ESP, TCP, UDP, ICMP, ICMP6 = 50, 6, 17, 1, 58
_IP4, _IP6, _VLAN = 0x0800, 0x86DD, 0x8100


@dataclass(frozen=True)
class Packet:
    source: str
    destination: str
    protocol: int
    payload: bytes  # after the IP header

    @property
    def spi(self):
        return struct.unpack_from(">I", self.payload)[0]

    @property
    def ports(self):
        return struct.unpack_from(">HH", self.payload)


def _text(octets):
    return str(ipaddress.ip_address(octets))


def _ip_packet(frame):
    """The packet of an Ethernet frame, or None for ARP and the like."""
    kind, at = struct.unpack_from(">H", frame, 12)[0], 14
    if kind == _VLAN:
        kind, at = struct.unpack_from(">H", frame, 16)[0], 18
    data = frame[at:]
    if kind == _IP4:
        return Packet(_text(data[12:16]), _text(data[16:20]), data[9], data[(data[0] & 15) * 4:])
    if kind == _IP6:
        return Packet(_text(data[8:24]), _text(data[24:40]), data[6], data[40:])
    return None


def read_pcap(path):
    data = pathlib.Path(path).read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at, packets = 24, []
    while at + 16 <= len(data):
        captured = struct.unpack_from(order + "I", data, at + 8)[0]
        packet = _ip_packet(data[at + 16:at + 16 + captured])
        if packet:
            packets.append(packet)
        at += 16 + captured
    return packets


def raw_frames(path):
    """The Ethernet frames of a capture, as they were."""
    data, at, found = path.read_bytes(), 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return found


class Capture:
    """tcpdump on an interface of a node, from construction to stop()."""

    def __init__(self, node, interface):
        self.path = node.folder / f"{interface}.pcap"
        # Without --immediate-mode what is in the kernel's current block is lost at the end.
        self.process = node.start(f"tcpdump-{interface}", "tcpdump", "-i", interface, "-n", "-U",
                                  "--immediate-mode", "-s", "0", "-B", "65536", "-Z", "root",
                                  "-w", self.path)
        wait_for(lambda: "listening on" in self.process.output(), 10, "capture")

    def _size_settles(self):
        before = self.path.stat().st_size
        time.sleep(0.2)
        return self.path.stat().st_size == before

    def stop(self):
        wait_for(self._size_settles, 20, "end of the traffic")
        self.process.popen.send_signal(signal.SIGINT)
        self.process.wait(10)
        return read_pcap(self.path)


def between(packets, one, other):
    """Those that go from a network to another or back."""
    first, second = ipaddress.ip_network(one), ipaddress.ip_network(other)

    def crosses(packet):
        source = ipaddress.ip_address(packet.source)
        target = ipaddress.ip_address(packet.destination)
        return (source in first and target in second) or (source in second and target in first)
    return [packet for packet in packets if crosses(packet)]


def protocols(packets):
    return Counter(packet.protocol for packet in packets)


def decrypt(path, esp_sa_lines, display_filter):
    """The packets that tshark decrypts and finds to match, as (source, destination, protocol)
    lines of its own. esp_sa_lines are rows of its `esp_sa` table."""
    argv = ["tshark", "-n", "-r", str(path), "-o", "esp.enable_encryption_decode:TRUE",
            "-o", "esp.enable_authentication_check:TRUE"]
    for line in esp_sa_lines:
        argv += ["-o", f"uat:esp_sa:{line}"]
    argv += ["-Y", display_filter, "-T", "fields", "-e", "ip.src", "-e", "ip.dst",
             "-e", "_ws.col.Protocol", "-e", "esp.icv_good"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60)
    if done.returncode:
        raise LabError(f"tshark: {done.stderr.strip()}")
    return done.stdout.splitlines()
