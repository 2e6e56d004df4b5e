"""ISAKMP as RFC 2408, RFC 2409 and RFC 6407 write it down: payloads, attributes, keys.

Made from the texts alone, so that a misreading of ours meets another reader. Strict about what it
receives: a MUST that does not hold is a Broken.
"""
import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SA, PROPOSAL, TRANSFORM, KE, ID, CERT, CERTREQ, HASH, SIG, NONCE, NOTIFY, DELETE, VENDOR = range(
    1, 14)
SAK, SAT, KD, SEQ, NAT_D, GAP, FRAGMENT = 15, 16, 17, 18, 20, 22, 132
MAIN_MODE, INFORMATIONAL, PULL, PUSH, PUSH_ACK = 2, 5, 32, 33, 35
ENCRYPTED = 1
GDOI = 2
HEADER = struct.Struct('>8s8sBBBBII')


class Broken(Exception):
    """The other end did what the RFC forbids, or not what it demands."""


def need(holds, what):
    if not holds:
        raise Broken(what)


# --- payloads -----------------------------------------------------------------------------------


def chain(payloads, reserved=0, last=0):
    """(first payload type, octets) of [(type, body), …]."""
    out = b''
    kinds = [kind for kind, _ in payloads] + [last]
    for (_, body), following in zip(payloads, kinds[1:]):
        out += struct.pack('>BBH', following, reserved, len(body) + 4) + body
    return kinds[0], out


def whole(kind, body):
    """A payload with its header, as a HASH covers it when it is the last one."""
    return chain([(kind, body)])[1]


def unchain(first, data, strict=True):
    """[(type, body)] and how many octets they took; what follows is padding."""
    found, at, kind = [], 0, first
    while kind:
        need(len(data) >= at + 4, f'payload {kind} has no header')
        following, reserved, length = struct.unpack_from('>BBH', data, at)
        need(4 <= length <= len(data) - at, f'payload {kind}: length {length} at {at}')
        need(not strict or reserved == 0, f'payload {kind}: RESERVED is {reserved}')
        found.append((kind, data[at + 4:at + length]))
        at, kind = at + length, following
    return found, at


def message(cookies, exchange, payloads, flags=0, number=0, reserved=0):
    first, body = chain(payloads, reserved)
    return HEADER.pack(cookies[:8], cookies[8:], first, 0x10, exchange, flags, number,
                       HEADER.size + len(body)) + body


class Header:
    def __init__(self, datagram):
        need(len(datagram) >= HEADER.size, f'a message of {len(datagram)} octets')
        (initiator, responder, self.first, version, self.exchange, self.flags, self.number,
         self.length) = HEADER.unpack_from(datagram)
        self.cookies = initiator + responder
        need(version == 0x10, f'version {version:#x}')
        need(self.length == len(datagram), f'Length {self.length} of {len(datagram)} octets')


# --- attributes (RFC 2408 section 3.3) ----------------------------------------------------------


def basic(kind, value):
    return struct.pack('>HH', 0x8000 | kind, value)


def variable(kind, value):
    return struct.pack('>HH', kind, len(value)) + value


def attributes(data):
    """[(type, value as octets)]; a basic one has two octets."""
    found, at = [], 0
    while at < len(data):
        need(len(data) >= at + 4, 'attribute without a header')
        kind, size = struct.unpack_from('>HH', data, at)
        if kind & 0x8000:
            found.append((kind & 0x7fff, data[at + 2:at + 4]))
            at += 4
            continue
        need(at + 4 + size <= len(data), f'attribute {kind} is longer than its payload')
        found.append((kind, data[at + 4:at + 4 + size]))
        at += 4 + size
    return found


def only_once(data, known):
    """{type: value} of attributes of which each may be there once, in a form that is allowed:
    known is {type: 'B' or 'V'}. A V that fits may come as B (RFC 2408: the AF bit decides)."""
    found = {}
    for kind, value in attributes(data):
        need(kind in known, f'attribute {kind}')
        need(kind not in found, f'attribute {kind} twice')
        need(known[kind] == 'V' or len(value) == 2, f'attribute {kind} has {len(value)} octets')
        found[kind] = value
    return found


def number_of(value):
    return int.from_bytes(value, 'big')


# --- Diffie-Hellman (RFC 2409, RFC 3526, RFC 5903) ----------------------------------------------


def _pi(bits):
    """floor(2^bits * pi), by Machin's formula."""
    def arctan(x):
        term = total = (1 << (bits + 64)) // x
        n, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total
    return (16 * arctan(5) - 4 * arctan(239)) >> 64


_MODP = {2: (1024, 129093), 5: (1536, 741804), 14: (2048, 124476), 15: (3072, 1690314),
         16: (4096, 240904)}
_ECP = {19: (ec.SECP256R1(), 32), 20: (ec.SECP384R1(), 48), 21: (ec.SECP521R1(), 66)}


def modulus(group):
    bits, offset = _MODP[group]
    return 2**bits - 2**(bits - 64) - 1 + 2**64 * (_pi(bits - 130) + offset)


class DiffieHellman:
    def __init__(self, group):
        self.group = group
        if group in _ECP:
            self.curve, self.size = _ECP[group]
            self.private = ec.generate_private_key(self.curve)
            point = self.private.public_key().public_numbers()
            self.public = b''.join(part.to_bytes(self.size, 'big') for part in (point.x, point.y))
        else:
            self.prime, self.size = modulus(group), _MODP[group][0] // 8
            self.private = number_of(os.urandom(40))
            self.public = pow(2, self.private, self.prime).to_bytes(self.size, 'big')

    def shared(self, other):
        need(len(other) == len(self.public), f'KE of {len(other)} octets in group {self.group}')
        if self.group in _ECP:
            point = ec.EllipticCurvePublicNumbers(number_of(other[:self.size]),
                                                  number_of(other[self.size:]), self.curve)
            return self.private.exchange(ec.ECDH(), point.public_key())
        value = number_of(other)
        need(1 < value < self.prime - 1, 'KE is no element of the group')
        return pow(value, self.private, self.prime).to_bytes(self.size, 'big')


# --- keys and ciphers ---------------------------------------------------------------------------


HASHES = {2: 'sha1', 4: 'sha256', 5: 'sha384', 6: 'sha512'}  # phase 1 attribute values


def prf(digest, key, data):
    return hmac.new(key, data, digest).digest()


def digest_of(digest, data):
    return hashlib.new(digest, data).digest()


def cbc(key, iv, data, encrypt):
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    work = cipher.encryptor() if encrypt else cipher.decryptor()
    return work.update(data) + work.finalize()


class Keys:
    """What phase 1 leaves (RFC 2409 section 5 and appendix B)."""

    def __init__(self, digest, key_bits, skeyid, shared, cookies):
        self.digest, self.cookies = digest, cookies
        self.skeyid = skeyid
        self.d = prf(digest, skeyid, shared + cookies + b'\0')
        self.a = prf(digest, skeyid, self.d + shared + cookies + b'\1')
        self.e = prf(digest, skeyid, self.a + shared + cookies + b'\2')
        size = key_bits // 8
        self.key = self.e
        if len(self.e) < size:
            block = self.key = prf(digest, self.e, b'\0')
            while len(self.key) < size:
                block = prf(digest, self.e, block)
                self.key += block
        self.key = self.key[:size]
        self.last_block = b''  # of phase 1: the beginning of each later exchange's IV

    def exchange_iv(self, number):
        return digest_of(self.digest, self.last_block + struct.pack('>I', number))[:16]


class Sealed:
    """Encrypted messages of one exchange: the running IV."""

    def __init__(self, keys, iv):
        self.keys, self.iv = keys, iv

    def write(self, exchange, payloads, number=0, reserved=0, padding=0):
        first, body = chain(payloads, reserved)
        body += bytes(-len(body) % 16 + 16 * padding)
        sealed = cbc(self.keys.key, self.iv, body, True)
        self.iv = sealed[-16:]
        return HEADER.pack(self.keys.cookies[:8], self.keys.cookies[8:], first, 0x10, exchange,
                           ENCRYPTED, number, HEADER.size + len(sealed)) + sealed

    def read(self, datagram):
        """[(type, body)] and the payloads' octets without padding."""
        header = Header(datagram)
        sealed = datagram[HEADER.size:]
        need(header.flags & ENCRYPTED, 'a message that should be encrypted is not')
        need(sealed and len(sealed) % 16 == 0, f'{len(sealed)} encrypted octets')
        clear = cbc(self.keys.key, self.iv, sealed, False)
        found, size = unchain(header.first, clear)
        need(len(clear) - size < 16, f'{len(clear) - size} octets of padding')
        self.iv = sealed[-16:]
        return found, clear[:size]


def protected(keys, payloads, number=None, exchange=INFORMATIONAL, spoil=False):
    """A message of one's own exchange under phase 1, such as an Informational one."""
    number = number or number_of(os.urandom(4)) or 1
    body = chain(payloads)[1]
    proof = prf(keys.digest, keys.a, struct.pack('>I', number) + body)
    proof = bytes(len(proof)) if spoil else proof
    return Sealed(keys, keys.exchange_iv(number)).write(exchange, [(HASH, proof), *payloads],
                                                        number)


def read_informational(keys, datagram):
    """The payloads after HASH of an Informational message, once HASH holds."""
    number = Header(datagram).number
    found, clear = Sealed(keys, keys.exchange_iv(number)).read(datagram)
    need(found[0][0] == HASH, 'HASH is not the first payload')
    rest = clear[4 + len(found[0][1]):]
    need(found[0][1] == prf(keys.digest, keys.a, struct.pack('>I', number) + rest),
         'HASH of an Informational message')
    return found[1:]
