"""Traffic between two hosts that can say what was lost.

As a library: Stream (numbered UDP datagrams that the far host sends back) and tcp_transfer. As a
program it is what runs inside the hosts; it needs the standard library only.
"""

import hashlib
import json
import pathlib
import socket
import struct
import sys
import threading
import time

_HERE = str(pathlib.Path(__file__).resolve())
_UDP_PORT, _TCP_PORT = 7001, 7002
_PAYLOAD = bytes(range(256)) * 64


class Stream:
    """Numbered datagrams from one host to another and back, until stop()."""

    def __init__(self, source, target, address, packets_per_second=500, size=400):
        self.echo = target.start("udp-echo", sys.executable, _HERE, "udp-echo")
        self._await(self.echo)
        self.sender = source.start("udp-stream", sys.executable, _HERE, "udp-stream", address,
                                   packets_per_second, size)
        self._await(self.sender)

    @staticmethod
    def _await(process):
        from lab.namespaces import wait_for
        wait_for(lambda: "ready" in process.output(), 10, f"start of {process.argv[-3:]}")

    def flow(self, seconds):
        """Lets it flow undisturbed for so long."""
        time.sleep(seconds)
        return self

    def stop(self):
        """{"sent": n, "received": n, "duplicates": n, "lost": n, "ranges": [[first, last], …]}"""
        self.sender.stop(30)
        self.echo.stop()
        return json.loads(self.sender.output().splitlines()[-1])


def tcp_transfer(source, target, address, octets):
    """Sends octets each way over one connection; returns {"octets", "seconds", "intact"}."""
    from lab.namespaces import wait_for
    server = target.start("tcp-server", sys.executable, _HERE, "tcp-server", octets)
    wait_for(lambda: "ready" in server.output(), 10, "TCP server")
    try:
        return json.loads(source.run(sys.executable, _HERE, "tcp-client", address, octets,
                                     seconds=120))
    finally:
        server.stop()


# --- what runs inside a host --------------------------------------------------------------------


def _buffered(sock):
    """Room for some seconds: on a busy machine this program must not be what loses datagrams."""
    so_rcvbufforce = 33  # as root, beyond the system's limit
    sock.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, 1 << 26)


def _any_socket(kind):
    """Bound to every address of both families."""
    found = socket.socket(socket.AF_INET6, kind)
    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return found


def udp_echo():
    with _any_socket(socket.SOCK_DGRAM) as sock:
        _buffered(sock)
        sock.bind(("::", _UDP_PORT))
        print("ready", flush=True)
        while True:
            data, peer = sock.recvfrom(65535)
            sock.sendto(data, peer)


def udp_stream(address, packets_per_second, size):
    import signal
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    _buffered(sock)
    sock.connect((address, _UDP_PORT))
    sock.settimeout(0.1)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    seen, duplicates, drained = set(), 0, threading.Event()

    def receive():
        nonlocal duplicates
        while not drained.is_set():
            try:
                number, = struct.unpack_from(">I", sock.recv(65535))
            except OSError:  # nothing yet, or an ICMP error of an earlier datagram
                continue
            duplicates += number in seen
            seen.add(number)

    receiver = threading.Thread(target=receive)
    receiver.start()
    print("ready", flush=True)
    start, sent = time.monotonic(), 0
    while not ended.is_set():
        due = int((time.monotonic() - start) * packets_per_second) + 1
        while sent < due:
            try:
                sock.send(struct.pack(">I", sent).ljust(size, b"\xa5"))
            except OSError:  # an ICMP error of an earlier datagram, or no route: it counts as lost
                pass
            sent += 1
        ended.wait(1 / packets_per_second)
    deadline = time.monotonic() + 5
    while len(seen) < sent and time.monotonic() < deadline:
        time.sleep(0.05)
    drained.set()
    receiver.join()
    print(json.dumps({"sent": sent, "received": len(seen), "duplicates": duplicates,
                      "lost": sent - len(seen), "ranges": _missing_ranges(seen, sent)}))


def _missing_ranges(seen, sent):
    ranges = []
    for number in range(sent):
        if number in seen:
            continue
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def _push(connection, octets):
    whole, part = divmod(octets, len(_PAYLOAD))
    for _ in range(whole):
        connection.sendall(_PAYLOAD)
    connection.sendall(_PAYLOAD[:part])


def _pull(connection, octets):
    digest, left = hashlib.sha256(), octets
    while left:
        data = connection.recv(min(left, 65536))
        if not data:
            break
        digest.update(data)
        left -= len(data)
    return digest.hexdigest(), left


def _pattern(octets):
    """The stream that _push sends for so many octets."""
    whole, part = divmod(octets, len(_PAYLOAD))
    digest = hashlib.sha256()
    for _ in range(whole):
        digest.update(_PAYLOAD)
    digest.update(_PAYLOAD[:part])
    return digest.hexdigest()


def _both_ways(connection, octets):
    writer = threading.Thread(target=_push, args=(connection, octets))
    writer.start()
    digest, missing = _pull(connection, octets)
    writer.join()
    return missing == 0 and digest == _pattern(octets)


def tcp_server(octets):
    with _any_socket(socket.SOCK_STREAM) as sock:
        sock.bind(("::", _TCP_PORT))
        sock.listen()
        print("ready", flush=True)
        connection, _ = sock.accept()
        with connection:
            intact = _both_ways(connection, octets)
            connection.sendall(b"1" if intact else b"0")


def tcp_client(address, octets):
    start = time.monotonic()
    with socket.create_connection((address, _TCP_PORT), timeout=60) as connection:
        intact = _both_ways(connection, octets) and connection.recv(1) == b"1"
    print(json.dumps({"octets": octets, "seconds": time.monotonic() - start, "intact": intact}))


if __name__ == "__main__":
    {"udp-echo": udp_echo, "tcp-server": lambda: tcp_server(int(sys.argv[2])),
     "udp-stream": lambda: udp_stream(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])),
     "tcp-client": lambda: tcp_client(sys.argv[2], int(sys.argv[3]))}[sys.argv[1]]()
