"""Static multicast routes for a router of the lab.

Linux keeps its multicast forwarding cache for as long as one program has it open, so a route lives
as long as the process that this module starts. As a program it is that process.
"""

import pathlib
import signal
import socket
import struct
import sys

_HERE = str(pathlib.Path(__file__).resolve())
# linux/mroute.h
_MRT_INIT, _MRT_ADD_VIF, _MRT_ADD_MFC = 200, 202, 204
_VIFF_USE_IFINDEX, _VIFS_MAX = 8, 32


def route(node, source, group, incoming, outgoing):
    """Lets a router forward what `source` sends to `group` from one interface to others."""
    from lab.namespaces import wait_for
    process = node.start("multicast-route", sys.executable, _HERE, source, group, incoming,
                         *outgoing)
    wait_for(lambda: "ready" in process.output() or not process.running(), 10, "multicast route")
    return process


def _serve(source, group, incoming, *outgoing):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _MRT_INIT, 1)
        for number, interface in enumerate((incoming, *outgoing)):
            # struct vifctl: number, flags, TTL threshold, rate limit, interface, no far end.
            vif = struct.pack("@HBBIi4s", number, _VIFF_USE_IFINDEX, 1, 0,
                              socket.if_nametoindex(interface), bytes(4))
            sock.setsockopt(socket.IPPROTO_IP, _MRT_ADD_VIF, vif)
        # struct mfcctl: a TTL threshold for each interface to send by, 255 or 0 for the others.
        thresholds = bytes([0] + [1] * len(outgoing)).ljust(_VIFS_MAX, b"\0")
        entry = struct.pack("@4s4sH32sIIIi", socket.inet_aton(source), socket.inet_aton(group), 0,
                            thresholds, 0, 0, 0, 0)
        sock.setsockopt(socket.IPPROTO_IP, _MRT_ADD_MFC, entry)
        print("ready", flush=True)
        signal.pause()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
