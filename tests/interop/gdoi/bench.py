"""Namespaces for cohortd and for the peer's sockets, certificates, configurations."""
import contextlib
import ctypes
import datetime
import functools
import ipaddress
import os
import pathlib
import select
import socket
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'e2e'))
# pylint: disable=wrong-import-position
from lab import daemons  # noqa: E402
from lab.namespaces import LabError, wait_for  # noqa: E402,F401
import phase1  # noqa: E402

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
OURS, OURS6 = '10.78.0.1', 'fd00:78::1'
PSK = 'interop pre-shared key'


@contextlib.contextmanager
def inside(node):
    """Sockets that are made in here belong to the node's namespace."""
    here = os.open('/proc/self/ns/net', os.O_RDONLY)
    there = os.open(f'/run/netns/{node.namespace}', os.O_RDONLY)
    try:
        if _LIBC.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), 'setns')
        yield
    finally:
        _LIBC.setns(here, _CLONE_NEWNET)
        os.close(here)
        os.close(there)


def udp(node, address, port=848):
    with inside(node):
        sock = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET,
                             socket.SOCK_DGRAM)
        sock.bind((address, port))
        return sock


def cable(node, interface):
    """Frames of an interface."""
    with inside(node):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind((interface, 0))
        return sock


def network(text):
    return ipaddress.ip_network(text)


def join(sock, group, interface_address):
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                    socket.inet_aton(group) + socket.inet_aton(interface_address))


# --- certificates -------------------------------------------------------------------------------


def new_key(kind):
    if kind.startswith('rsa'):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    return ec.generate_private_key({'p256': ec.SECP256R1(), 'p384': ec.SECP384R1(),
                                    'p521': ec.SECP521R1()}[kind])


@functools.cache
def leaf_key(kind):
    """One of a kind for all end certificates: making one takes longer than all else."""
    return new_key(kind)


def name(common, unit='GETVPN_GM'):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'cohort interop'),
                      x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
                      x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Authority:
    def __init__(self, common, kind='rsa', issuer=None):
        self.key, self.issuer = new_key(kind), issuer or self
        self.subject = name(common, 'CA')
        self.certificate = self.issue(self.subject, self.key.public_key(), True, issuer or self)

    def issue(self, subject, public, is_ca=False, issuer=None, hours=(-1, 720), signs=True,
              usages=()):
        """hours: of its begin and end, from now on; signs: digitalSignature in an end
        certificate; usages: extended ones."""
        issuer = issuer or self
        # The clock is read here alone: certificates must be valid now, or just not.
        begin, end = (datetime.datetime.utcnow() + datetime.timedelta(hours=one) for one in hours)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject)
                   .public_key(public).serial_number(x509.random_serial_number())
                   .not_valid_before(begin).not_valid_after(end)
                   .add_extension(x509.BasicConstraints(is_ca, None), True)
                   .add_extension(x509.KeyUsage(signs and not is_ca, False, not signs, False, False,
                                                is_ca, is_ca, False, False), True))
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
        return builder.sign(issuer.key, hashes.SHA256())

    def identity(self, common, unit='GETVPN_GM', kind='rsa', above=(), **how):
        key = leaf_key(kind)
        leaf = self.issue(name(common, unit), key.public_key(), **how)
        return phase1.Identity(key=key, chain=[der(one) for one in (leaf, *above)])


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


# --- our programs -------------------------------------------------------------------------------


def common(node, hostname, policies, authority=None, key='rsa'):
    """What key server and member have in common in their configuration."""
    out = {
        'hostname': hostname, 'state_directory': str(node.folder / 'state'),
        'logging': {'level': 'debug', 'event_log': str(node.folder / 'events.json')},
        'admin': {'socket': str(node.folder / 'admin.sock')},
        'pre_shared_keys': [{'peer': '10.78.0.0/16', 'key': PSK},
                            {'peer': 'fd00:78::/64', 'key': PSK}],
        'isakmp': {'policies': policies, 'retransmit_initial': '1s'},
    }
    if authority:
        kind = 'rsa' if key == 'rsa' else f'ecdsa-{key}'
        out['keys'] = {'pkikey': {'type': kind, **({'modulus': 2048} if key == 'rsa' else {})}}
        out['trustpoints'] = {'LAB': {'key': 'pkikey', 'subject_name': 'OU=GETVPN_KS',
                                      'revocation_check': 'none'}}
    return out


def certify(daemon, authority, above=(), **how):
    """A certificate by hand for the daemon's trustpoint, from its own request; what peers would
    have against it, if anything."""
    request = x509.load_pem_x509_csr(daemon.ask('pki request', trustpoint='LAB')['pem'].encode())
    leaf = authority.issue(request.subject, request.public_key(), **how)
    chain = ''.join(map(pem, (leaf, *above)))
    root = authority
    while root.issuer is not root:
        root = root.issuer
    return daemon.ask('pki import', trustpoint='LAB', ca=pem(root.certificate),
                      certificate=chain)['warning']


def policy_of(cipher=256, digest='sha256', group=14, authentication='pre-share'):
    return {'encryption': f'aes-{cipher}', 'hash': digest, 'group': group,
            'authentication': authentication, 'lifetime': '3600s'}


class Net:
    """Two nodes and a cable: ours with the daemon, and the peer's with many addresses."""

    def __init__(self, lab):
        self.lab = lab
        self.ours, self.peer = lab.node('ours'), lab.node('peer')
        lab.link(self.ours, 'up0', self.peer, 'up0')
        self.ours.ip(f'addr add {OURS}/16 dev up0', f'addr add {OURS6}/64 dev up0 nodad')
        self.peer.ip('addr add 10.78.1.1/16 dev up0')
        self.taken = 0

    def address(self):
        """An address of the peer that nobody has used yet."""
        self.taken += 1
        text = f'10.78.2.{self.taken}'
        self.peer.ip(f'addr add {text}/16 dev up0')
        return text

    def address6(self):
        self.taken += 1
        text = f'fd00:78::2:{self.taken:x}'
        self.peer.ip(f'addr add {text}/64 dev up0 nodad')
        return text

    def line(self, address=None, port=848):
        """A socket on an address of its own, towards our UDP 848; (line, address)."""
        address = address or self.address()
        sock = udp(self.peer, address, port)
        return phase1.Line(sock, (OURS6 if ':' in address else OURS, 848)), address


def frames(sock, seconds, wanted):
    """The first frame that wanted() accepts, or None."""
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    while True:
        left = (end - datetime.datetime.now()).total_seconds()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            return None
        frame = sock.recv(65535)
        if wanted(frame):
            return frame


def ethernet(kind, payload):
    """A frame between the test's two hosts."""
    return b'\2\0\0\0\0\2' + b'\2\0\0\0\0\1' + struct.pack('>H', kind) + payload


__all__ = ['daemons', 'LabError', 'wait_for']
