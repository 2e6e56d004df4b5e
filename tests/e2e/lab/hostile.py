"""Sends what no honest peer would. As a library: calls on a node; as a program, it runs inside.

Messages are bytes; they travel to the program in a file, a line of hexadecimal digits each.
"""

import pathlib
import socket
import sys

_HERE = str(pathlib.Path(__file__).resolve())


def _run(node, kind, target, messages):
    path = node.folder / "hostile.hex"
    path.write_text("".join(message.hex() + "\n" for message in messages), encoding="ascii")
    return node.run(sys.executable, _HERE, kind, *target, path, seconds=120).splitlines()


def datagrams(node, address, port, messages):
    """UDP payloads from node to address:port."""
    _run(node, "udp", (address, port), messages)


def streams(node, address, port, messages):
    """A TCP connection for each; returns the first line of each answer, "" for none."""
    return _run(node, "tcp", (address, port), messages)


def frames(node, interface, messages):
    """Ethernet frames out of an interface of the node."""
    _run(node, "frame", (interface,), messages)


# --- what runs inside a node --------------------------------------------------------------------


def _send_datagrams(address, port, messages):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 848))  # some refusals depend on where a message comes from
        for message in messages:
            sock.sendto(message, (address, int(port)))


def _send_streams(address, port, messages):
    for message in messages:
        answer = b""
        try:
            with socket.create_connection((address, int(port)), timeout=5) as connection:
                connection.sendall(message)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(200)
        except OSError:
            pass
        print(answer.split(b"\r\n")[0].decode("latin-1"))


def _send_frames(interface, messages):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for message in messages:
            sock.send(message)


if __name__ == "__main__":
    lines = pathlib.Path(sys.argv[-1]).read_text(encoding="ascii").splitlines()
    {"udp": _send_datagrams, "tcp": _send_streams,
     "frame": _send_frames}[sys.argv[1]](*sys.argv[2:-1], [bytes.fromhex(line) for line in lines])
