"""Main mode of both roles (RFC 2409 section 5) on a UDP socket, for tests: every knob is open.

    1 I->R HDR, SA, VID*                         2 R->I HDR, SA, VID*
    3 HDR, KE, Ni, [CERTREQ]                     4 HDR, KE, Nr, [CERTREQ]
    5 HDR*, IDii, [CERT,] SIG_I | HASH_I         6 HDR*, IDir, [CERT,] SIG_R | HASH_R
"""
import os
import select
import socket
import struct
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import wire
from wire import Broken, need

ENCRYPTION, HASH, METHOD, GROUP, LIFE_TYPE, LIFE, KEY_LENGTH = 1, 2, 3, 4, 11, 12, 14
PSK, RSA, ECDSA256, ECDSA384, ECDSA521 = 1, 3, 9, 10, 11
_TIED = {ECDSA256: ('sha256', hashes.SHA256(), 32), ECDSA384: ('sha384', hashes.SHA384(), 48),
         ECDSA521: ('sha512', hashes.SHA512(), 66)}
ID_IPV4, ID_FQDN, ID_IPV6, ID_DN, ID_KEY_ID = 1, 2, 5, 9, 11
NOTIFY_NAMES = {1: 'INVALID-PAYLOAD-TYPE', 2: 'DOI-NOT-SUPPORTED', 3: 'SITUATION-NOT-SUPPORTED',
                7: 'INVALID-EXCHANGE-TYPE', 14: 'NO-PROPOSAL-CHOSEN', 16: 'PAYLOAD-MALFORMED',
                18: 'INVALID-ID-INFORMATION', 19: 'INVALID-CERT-ENCODING',
                20: 'INVALID-CERTIFICATE',
                23: 'INVALID-HASH-INFORMATION', 24: 'AUTHENTICATION-FAILED',
                25: 'INVALID-SIGNATURE', 36136: 'R-U-THERE', 36137: 'R-U-THERE-ACK'}


class Silence(Broken):
    """No answer."""


class Suite:
    """One phase 1 transform."""

    def __init__(self, method=PSK, key_bits=256, digest=4, group=14):
        self.method, self.key_bits, self.digest, self.group = method, key_bits, digest, group

    def transform(self, life=None, extra=b'', order=1):
        """Attributes, in the usual order or backwards; a life duration follows its type."""
        parts = [wire.basic(ENCRYPTION, 7), wire.basic(HASH, self.digest),
                 wire.basic(METHOD, self.method), wire.basic(GROUP, self.group),
                 wire.basic(LIFE_TYPE, 1) + (wire.basic(LIFE, 3600) if life is None
                                             else wire.variable(LIFE, life)),
                 wire.basic(KEY_LENGTH, self.key_bits), extra]
        return b''.join(parts[::order])


def sa_body(transforms, doi=wire.GDOI, situation=0, spi=b'', reserved=0):
    """The body of a phase 1 SA payload with one proposal of these attribute lists."""
    rows = [(wire.TRANSFORM, struct.pack('>BBH', number, 1, reserved) + body)
            for number, body in enumerate(transforms, 1)]
    proposal = struct.pack('>BBBB', 1, 1, len(spi), len(rows)) + spi + wire.chain(rows, reserved)[1]
    return struct.pack('>II', doi, situation) + wire.whole(wire.PROPOSAL, proposal)


def read_sa(body):
    """(DOI, situation, [{attribute: octets}]) of a phase 1 SA payload."""
    doi, situation = struct.unpack_from('>II', body)
    proposals, _ = wire.unchain(wire.PROPOSAL, body[8:])
    need(len(proposals) == 1, f'{len(proposals)} proposals')
    _, protocol, spi_size, count = proposals[0][1][:4]
    need(protocol == 1, f'protocol {protocol} in a phase 1 proposal')
    rows, _ = wire.unchain(wire.TRANSFORM, proposals[0][1][4 + spi_size:])
    need(len(rows) == count, f'{len(rows)} transforms, announced are {count}')
    return doi, situation, [dict(wire.attributes(row[4:])) for _, row in rows]


class Identity:
    """How an end proves who it is: a pre-shared key, or a certificate with its key and chain."""

    def __init__(self, psk=None, key=None, chain=(), hashed=False, named=None):
        self.psk, self.key = psk, key
        self.named = named  # the body of the ID payload; else what the proof suggests
        # RFC 4754 leaves open whether ECDSA hashes HASH_x once more; most do not.
        self.hashed = hashed
        self.chain = list(chain)  # DER, the end's own first

    def id_body(self, address):
        if self.named:
            return self.named
        if self.chain:
            subject = x509.load_der_x509_certificate(self.chain[0]).subject
            return bytes([ID_DN, 0, 0, 0]) + subject.public_bytes()
        packed = socket.inet_pton(socket.AF_INET6 if ':' in address else socket.AF_INET, address)
        return bytes([ID_IPV6 if ':' in address else ID_IPV4, 0, 0, 0]) + packed

    def sign(self, method, proof):
        if method == RSA:
            # PKCS #1 block type 1 over the bare hash, without DigestInfo (RFC 2409 section 5.1).
            numbers = self.key.private_numbers()
            modulus = numbers.public_numbers.n
            size = (modulus.bit_length() + 7) // 8
            block = b'\0\1' + b'\xff' * (size - 3 - len(proof)) + b'\0' + proof
            return pow(wire.number_of(block), numbers.d, modulus).to_bytes(size, 'big')
        size = _TIED[method][2]
        pair = utils.decode_dss_signature(self.key.sign(proof, _ecdsa(method, self.hashed)))
        return b''.join(part.to_bytes(size, 'big') for part in pair)


def _ecdsa(method, hashed):
    algorithm = _TIED[method][1]
    return ec.ECDSA(algorithm if hashed else utils.Prehashed(algorithm))


def verify(method, certificate, signature, proof, hashed):
    public = x509.load_der_x509_certificate(certificate).public_key()
    if method == RSA:
        numbers = public.public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        need(len(signature) == size, f'SIG of {len(signature)} octets')
        block = pow(wire.number_of(signature), numbers.e, numbers.n).to_bytes(size, 'big')
        need(block == b'\0\1' + b'\xff' * (size - 3 - len(proof)) + b'\0' + proof, 'SIG of RSA')
        return
    size = _TIED[method][2]
    need(len(signature) == 2 * size, f'SIG of {len(signature)} octets')
    public.verify(utils.encode_dss_signature(wire.number_of(signature[:size]),
                                             wire.number_of(signature[size:])),
                  proof, _ecdsa(method, hashed))


class Line:
    """A socket to one peer, with what came and was not asked for yet."""

    def __init__(self, sock, peer):
        self.sock, self.peer, self.waiting = sock, peer, []
        self.patience = 8  # seconds for an answer
        self.answered = set()  # cookies of the initiators that were answered here

    def send(self, datagram):
        self.sock.sendto(datagram, self.peer)

    def next(self, seconds):
        ready, _, _ = select.select([self.sock], [], [], max(0, seconds))
        if not ready:
            return None
        datagram, self.peer_seen = self.sock.recvfrom(65535)
        return datagram

    def receive(self, wanted, seconds=None, what='answer'):
        """The first datagram whose header satisfies wanted(header)."""
        seconds = seconds or self.patience
        end = time.monotonic() + seconds
        for at, datagram in enumerate(self.waiting):
            if wanted(wire.Header(datagram)):
                return self.waiting.pop(at)
        while True:
            datagram = self.next(end - time.monotonic())
            if datagram is None:
                raise Silence(f'no {what} within {seconds} s')
            if wanted(wire.Header(datagram)):
                return datagram
            self.waiting.append(datagram)

    def drain(self):
        while True:
            datagram = self.next(0)
            if datagram is None:
                break
            self.waiting.append(datagram)
        out, self.waiting = self.waiting, []
        return out


def notify_of(payloads):
    """Names of the notifications among payloads."""
    found = []
    for kind, body in payloads:
        if kind == wire.NOTIFY:
            number = struct.unpack_from('>H', body, 6)[0]
            found.append(NOTIFY_NAMES.get(number, str(number)))
    return found


class Exchange:
    """State of one main mode."""

    def __init__(self, line, identity, address, initiator, cookies):
        self.line, self.identity, self.address = line, identity, address
        self.initiator, self.cookies = initiator, cookies
        self.sa = self.peer_sa = None
        self.keys = self.sealed = None
        self.peer_id = self.peer_chain = None
        self.sent, self.received = [], []

    def send(self, datagram):
        self.sent.append(datagram)
        self.line.send(datagram)

    def receive(self, what):
        """The next main mode message of ours; a refusal by notification is Broken."""
        own = self.cookies[:8] if self.initiator else self.cookies

        def wanted(header):
            return (header.cookies.startswith(own)
                    and header.exchange in (wire.MAIN_MODE, wire.INFORMATIONAL))
        datagram = self.line.receive(wanted, what=what)
        header = wire.Header(datagram)
        if header.exchange == wire.INFORMATIONAL:
            self.refused(datagram, header)
        need(header.number == 0, f'Message ID {header.number} in main mode')
        self.received.append(datagram)
        return datagram

    def refused(self, datagram, header):
        if header.flags & wire.ENCRYPTED:
            # Phase 1 is not over: RFC 2409 section 5.7 allows no HASH from what is not agreed.
            self.keys.last_block = self.keys.last_block or self.sealed.iv
            raise Broken(' '.join(notify_of(wire.read_informational(self.keys, datagram))))
        raise Broken(' '.join(notify_of(wire.unchain(header.first, datagram[28:])[0])))

    def derive(self, suite, dh, their_public, ni, nr):
        """SKEYID and the keys, and IV of message 5."""
        digest = wire.HASHES[suite.digest]
        shared = dh.shared(their_public)
        if suite.method == PSK:
            skeyid = wire.prf(digest, self.identity.psk, ni + nr)
        else:
            skeyid = wire.prf(digest, ni + nr, shared)
        self.keys = wire.Keys(digest, suite.key_bits, skeyid, shared, self.cookies)
        first, second = dh.public, their_public
        if not self.initiator:
            first, second = second, first
        self.publics = (first, second)
        self.sealed = wire.Sealed(self.keys, wire.digest_of(digest, first + second)[:16])

    def proof(self, suite, of_initiator, id_body):
        digest = _TIED[suite.method][0] if suite.method in _TIED else self.keys.digest
        ours, theirs = self.publics, self.cookies[:8] + self.cookies[8:]
        if not of_initiator:
            ours, theirs = ours[::-1], self.cookies[8:] + self.cookies[:8]
        return wire.prf(digest, self.keys.skeyid, ours[0] + ours[1] + theirs + self.sa + id_body)

    def proving(self, suite, spoil=False):
        """Payloads of message 5 or 6."""
        id_body = self.identity.id_body(self.address)
        proof = self.proof(suite, self.initiator, id_body)
        if spoil:
            proof = bytes(len(proof))
        if suite.method == PSK:
            return [(wire.ID, id_body), (wire.HASH, proof)]
        return [(wire.ID, id_body),
                *[(wire.CERT, b'\4' + certificate) for certificate in self.identity.chain],
                (wire.SIG, self.identity.sign(suite.method, proof))]

    def check_proof(self, suite, payloads):
        ids = [body for kind, body in payloads if kind == wire.ID]
        need(len(ids) == 1, f'{len(ids)} ID payloads')
        # RFC 2407 4.6.2: in phase 1 protocol and port are zero, or UDP and 500.
        need(ids[0][1:4] in (bytes(3), bytes([17, 1, 244])), f'ID of {ids[0][:4].hex()}')
        proof = self.proof(suite, not self.initiator, ids[0])
        self.peer_id = ids[0]
        if suite.method == PSK:
            need([body for kind, body in payloads if kind == wire.HASH] == [proof],
                 'HASH of the peer')
            return
        self.peer_chain = [body[1:] for kind, body in payloads
                           if kind == wire.CERT and body[0] == 4]
        need(self.peer_chain, 'no certificate')
        signature = [body for kind, body in payloads if kind == wire.SIG]
        need(len(signature) == 1, f'{len(signature)} SIG payloads')
        verify(suite.method, self.peer_chain[0], signature[0], proof, self.identity.hashed)
        if ids[0][0] == ID_DN:
            subject = x509.load_der_x509_certificate(self.peer_chain[0]).subject
            need(ids[0][4:] == subject.public_bytes(), 'ID is not the subject of the certificate')


def initiate(line, identity, address, suite, *, sa=None, vendors=(), certreqs=None, nonce=None,
             reserved=0, padding=0, repeat=False, spoil=False, extra5=(),
             change=lambda step, payloads: payloads):
    """Main mode as initiator. repeat: each message goes out twice, and the second answer must be a
    copy of the first. spoil: a wrong proof. change: what becomes of the payloads of messages 1, 3
    and 5 before they are sent; octets go out as they are."""
    exchange = Exchange(line, identity, address, True, os.urandom(8) + bytes(8))
    exchange.sa = sa or sa_body([suite.transform()])
    exchange.spoilt = False

    def made(step, payloads):
        out = change(step, payloads)
        exchange.spoilt = out is not payloads
        return out

    def ask(datagram, what):
        exchange.send(datagram)
        if exchange.spoilt:
            exchange.receive(what)
            raise Broken(f'{what} for what was spoilt')
        answer = exchange.receive(what)
        if repeat:
            exchange.send(datagram)
            need(exchange.receive(f'second {what}') == answer, f'the second {what} differs')
        return answer

    first = [(wire.SA, exchange.sa), *[(wire.VENDOR, one) for one in vendors]]
    answer = ask(wire.message(exchange.cookies, wire.MAIN_MODE, made(1, first),
                              reserved=reserved), 'message 2')
    header = wire.Header(answer)
    need(header.cookies[8:] != bytes(8), 'no responder cookie')
    exchange.cookies = header.cookies
    payloads, _ = wire.unchain(header.first, answer[28:])
    need(payloads[0][0] == wire.SA, 'SA is not first in message 2')
    exchange.chosen = read_sa(payloads[0][1])
    need(len(exchange.chosen[2]) == 1, 'several transforms in the answer')
    need(exchange.chosen[0] == struct.unpack_from('>I', exchange.sa)[0], 'another DOI')
    exchange.vendors = [body for kind, body in payloads[1:] if kind == wire.VENDOR]

    dh, ni = wire.DiffieHellman(suite.group), nonce or os.urandom(32)
    third = [(wire.KE, dh.public), (wire.NONCE, ni)]
    third += [(wire.CERTREQ, b'\4' + name) for name in certreqs or ()]
    answer = ask(wire.message(exchange.cookies, wire.MAIN_MODE, made(3, third),
                              reserved=reserved), 'message 4')
    header = wire.Header(answer)
    found, _ = wire.unchain(header.first, answer[28:])
    public, nr = (next(body for kind, body in found if kind == wanted)
                  for wanted in (wire.KE, wire.NONCE))
    need(8 <= len(nr) <= 256, f'nonce of {len(nr)} octets')
    exchange.asked_for = [body for kind, body in found if kind == wire.CERTREQ]
    exchange.derive(suite, dh, public, ni, nr)

    fifth = made(5, [*exchange.proving(suite, spoil), *extra5])
    if fifth is None:  # in clear
        fifth = wire.message(exchange.cookies, wire.MAIN_MODE, exchange.proving(suite))
    else:
        fifth = exchange.sealed.write(wire.MAIN_MODE, fifth, reserved=reserved, padding=padding)
    payloads, _ = exchange.sealed.read(ask(fifth, 'message 6'))
    exchange.check_proof(suite, payloads)
    exchange.keys.last_block = exchange.sealed.iv
    return exchange


def respond(line, identity, address, choose, *, seconds=20, doi=wire.GDOI, situation=0,
            certreqs=(b'',), vendors=(), reserved=0):
    """Main mode as responder: choose(offered transforms) says which it takes, as (number, Suite).
    The answer echoes that transform as it came."""
    first = line.receive(lambda header: header.exchange == wire.MAIN_MODE
                         and header.cookies[8:] == bytes(8)
                         and header.cookies not in line.answered, seconds, 'message 1')
    header = wire.Header(first)
    line.answered.add(header.cookies)
    exchange = Exchange(line, identity, address, False, header.cookies[:8] + os.urandom(8))
    line.peer = line.peer_seen
    payloads, _ = wire.unchain(header.first, first[28:])
    need(payloads[0][0] == wire.SA, 'SA is not first in message 1')
    exchange.sa = payloads[0][1]
    exchange.vendors = [body for kind, body in payloads if kind == wire.VENDOR]
    offered_doi, _, offered = read_sa(exchange.sa)
    need(offered_doi == wire.GDOI, f'DOI {offered_doi}: RFC 6407 section 2.1 wants 2')
    number, suite = choose(offered)
    proposal = wire.unchain(wire.PROPOSAL, exchange.sa[8:])[0][0][1]
    rows, _ = wire.unchain(wire.TRANSFORM, proposal[4 + proposal[2]:])
    row = rows[number][1]
    answer = (struct.pack('>II', doi, situation) + wire.whole(
        wire.PROPOSAL, struct.pack('>BBBB', 1, 1, 0, 1) + wire.whole(wire.TRANSFORM, row)))
    exchange.send(wire.message(exchange.cookies, wire.MAIN_MODE,
                               [(wire.SA, answer), *[(wire.VENDOR, one) for one in vendors]],
                               reserved=reserved))

    third = exchange.receive('message 3')
    found, _ = wire.unchain(wire.Header(third).first, third[28:])
    public, ni = (next(body for kind, body in found if kind == wanted)
                  for wanted in (wire.KE, wire.NONCE))
    dh, nr = wire.DiffieHellman(suite.group), os.urandom(20)
    fourth = [(wire.KE, dh.public), (wire.NONCE, nr)]
    if suite.method != PSK:
        fourth += [(wire.CERTREQ, b'\4' + name) for name in certreqs]
    exchange.derive(suite, dh, public, ni, nr)
    exchange.send(wire.message(exchange.cookies, wire.MAIN_MODE, fourth, reserved=reserved))

    payloads, _ = exchange.sealed.read(exchange.receive('message 5'))
    exchange.check_proof(suite, payloads)
    exchange.send(exchange.sealed.write(wire.MAIN_MODE, exchange.proving(suite),
                                        reserved=reserved))
    exchange.keys.last_block = exchange.sealed.iv
    return exchange
