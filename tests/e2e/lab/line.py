"""What a network between two machines does to packets: loss, delay, and so reordering; or a cut.

As a library: PoorLine carries what two nodes send to each other's address, and nothing else, over a
line that loses and delays by a seed; Partition drops at a router. As a program it is that line. It
needs no more of the kernel than TUN devices: many small kernels come without tc's netem.
"""

import ctypes
import fcntl
import heapq
import os
import pathlib
import random
import select
import struct
import sys
import time

_HERE = str(pathlib.Path(__file__).resolve())
_DEVICE = "line"


class PoorLine:
    """A line between two nodes, from construction to stop()."""

    def __init__(self, one, one_address, other, other_address, loss, delay_ms, seed):
        from lab.namespaces import wait_for
        self.process = one.start("line", sys.executable, _HERE, other.namespace, loss, delay_ms,
                                 seed)
        wait_for(lambda: "ready" in self.process.output(), 10, "line")
        for node, peer in ((one, other_address), (other, one_address)):
            node.ip(f"link set {_DEVICE} up", f"route add {peer} dev {_DEVICE}")

    def stop(self):
        """The devices and their routes go with it: packets take the old way again. Returns how many
        it (carried, lost)."""
        self.process.stop()
        carried, lost = self.process.output().split()[-2:]
        return int(carried), int(lost)


class Partition:
    """A router that drops what the given pairs of addresses send to each other, or only what the
    first of a pair sends to the second, until heal()."""

    def __init__(self, router, pairs, both_ways=True):
        self.router = router
        ways = list(pairs) + [(other, one) for one, other in pairs if both_ways]
        rules = "\n".join(f"ip saddr {source} ip daddr {target} counter drop"
                          for source, target in ways)
        router.run("nft", f"table ip partition {{\nchain forward {{\n"
                   f"type filter hook forward priority 0; policy accept;\n{rules}\n}}\n}}")

    def heal(self):
        self.router.run("nft", "delete", "table", "ip", "partition")


# --- the program --------------------------------------------------------------------------------


def _open_device():
    """A TUN device of the namespace that this thread is in; it lives as long as it is open."""
    tunsetiff, tun_without_header = 0x400454ca, 0x0001 | 0x1000
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, tunsetiff, struct.pack("16sH", _DEVICE.encode(), tun_without_header))
    return device


def _enter(namespace):
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, 0) != 0:
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(handle)


def _carry(loss, delay_ms, seed):
    import signal
    one = _open_device()
    _enter(sys.argv[1])
    ends = {one: _open_device()}
    ends[ends[one]] = one
    draw, waiting, count, lost, ended = random.Random(seed), [], 0, 0, []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    print("ready", flush=True)
    while not ended:
        pause = max(0, waiting[0][0] - time.monotonic()) if waiting else 0.1
        for device in select.select(list(ends), [], [], min(pause, 0.1))[0]:
            packet = os.read(device, 65535)
            if packet[0] >> 4 != 4:  # what IPv6 says when a device comes up
                continue
            count += 1
            if draw.random() < loss:
                lost += 1
                continue
            # From nothing to twice the mean: later packets overtake earlier ones.
            due = time.monotonic() + draw.uniform(0, 2 * delay_ms) / 1000
            heapq.heappush(waiting, (due, count, ends[device], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            os.write(device, packet)
    print(count - lost, lost)


if __name__ == "__main__":
    _carry(float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
