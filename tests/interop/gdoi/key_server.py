"""A key server of RFC 6407 for tests: it says what a test wants it to say, right or wrong."""
import functools
import os
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import phase1
import policy
import wire
from wire import Broken, need

_RSA_HASH = {3: hashes.SHA256(), 4: hashes.SHA384(), 5: hashes.SHA512()}
_CURVES = {4: (ec.SECP256R1(), hashes.SHA256(), 32), 5: (ec.SECP384R1(), hashes.SHA384(), 48),
           6: (ec.SECP521R1(), hashes.SHA512(), 66)}


@functools.cache
def signer(algorithm, bits):
    """One key pair of a kind for all groups: making one takes longer than all else."""
    return (rsa.generate_private_key(65537, bits) if algorithm == 1
            else ec.generate_private_key(_CURVES[algorithm][0]))


class Group:
    """What a group is: TEKs, a KEK or none, delays, sender ids, the key that signs."""

    def __init__(self, teks, kek=None, gap=b'', sids=None):
        self.teks, self.kek, self.gap, self.sids = list(teks), kek, gap, sids
        self.sequence = 0
        self.signer = signer(*kek.signing[1:]) if kek else None

    def public(self):
        return self.signer.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def rows(self, sat=None, sak=None):
        """SA Attribute payloads in the order of section 5.2.1."""
        return ([(wire.SAK, self.kek.sak(**sak or {}))] if self.kek else []) + (
            [(wire.GAP, self.gap)] if self.gap else []) + [
                (wire.SAT, tek.sat(**sat or {})) for tek in self.teks]

    def packets(self):
        """Key packets: KEK with the public key, TEKs, sender ids."""
        return ([self.kek.packet(self.public())] if self.kek else []) + [
            tek.packet() for tek in self.teks] + (
                [policy.sid_packet(*self.sids)] if self.sids else [])

    def sign(self, data, bare=False):
        digest, algorithm, _ = self.kek.signing
        if algorithm == 1:
            if not bare:
                return self.signer.sign(data, padding.PKCS1v15(), _RSA_HASH[digest])
            size = self.signer.key_size // 8
            name = {3: 'sha256', 4: 'sha384', 5: 'sha512'}[digest]
            value = wire.digest_of(name, data)
            block = b'\0\1' + b'\xff' * (size - 3 - len(value)) + b'\0' + value
            numbers = self.signer.private_numbers()
            return pow(wire.number_of(block), numbers.d, numbers.public_numbers.n).to_bytes(
                size, 'big')
        _, algorithm_hash, size = _CURVES[algorithm]
        pair = utils.decode_dss_signature(self.signer.sign(data, ec.ECDSA(algorithm_hash)))
        return b''.join(part.to_bytes(size, 'big') for part in pair)

    def push(self, payloads, *, sequence=None, bare=False, padded=False, spoil=False, kek=None,
             reserved=0, number=0, flags=wire.ENCRYPTED):
        """HDR*, SEQ, payloads, SIG under the KEK. padded: the signed Length is the sent one."""
        kek = kek or self.kek
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        head = [(wire.SEQ, struct.pack('>I', sequence)), *payloads]
        first, octets = wire.chain(head, reserved, last=wire.SIG)
        size = (self.signer.key_size // 8 if kek.signing[1] == 1
                else 2 * _CURVES[kek.signing[1]][2])
        clear = len(octets) + 4 + size
        sent = wire.HEADER.size + -(-clear // 16) * 16

        def header(length):
            return wire.HEADER.pack(kek.spi[:8], kek.spi[8:], first, 0x10, wire.PUSH, flags,
                                    number, length)
        signed = b'rekey' + header(sent if padded else wire.HEADER.size + clear) + octets
        signature = self.sign(signed, bare)
        if spoil:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        octets += wire.whole(wire.SIG, signature)
        octets += bytes(-len(octets) % 16)
        return header(sent) + wire.cbc(kek.key, kek.iv, octets, True)

    def update(self, teks=(), kek=None, order=1):
        """SA and KD of a PUSH with new keys."""
        rows = [(wire.SAK, kek.sak())] if kek else []
        rows += [(wire.GAP, self.gap)] if self.gap else []
        rows += [(wire.SAT, tek.sat()) for tek in teks]
        packets = [kek.packet(self.public())] if kek else []
        packets += [tek.packet() for tek in teks]
        return [(wire.SA, policy.sa_body(rows)), (wire.KD, policy.kd_body(packets[::order]))]


class Registrar:
    """The registration side on one socket."""

    def __init__(self, line, address, identity):
        self.line, self.address, self.identity = line, address, identity

    def phase1(self, choose, **how):
        return phase1.respond(self.line, self.identity, self.address, choose, **how)

    def pull(self, exchange, group_id, rows, packets, *, sequence=0, nonce=None, seconds=10,
             extra2=(), extra4=(), reserved=0, spoil=0, sa=None, kd=None, repeat=False):
        """The four messages; returns what the member asked for in GAP. sa, kd: those bodies instead
        of what rows and packets make. spoil: 2 or 4, a wrong HASH in that message."""
        keys = exchange.keys
        first = self.receive(exchange, seconds, 'message 1 of PULL')
        number = wire.Header(first).number
        sealed = wire.Sealed(keys, keys.exchange_iv(number))
        mid = struct.pack('>I', number)
        need(number, 'Message ID 0 in a PULL')
        found, clear = sealed.read(first)
        need([kind for kind, _ in found] == [wire.HASH, wire.NONCE, wire.ID],
             f'payloads of message 1: {[kind for kind, _ in found]}')
        need(found[0][1] == wire.prf(keys.digest, keys.a, mid + clear[4 + len(found[0][1]):]),
             'HASH(1)')
        ni, nr = found[1][1], nonce or os.urandom(16)
        need(8 <= len(ni) <= 128, f'Ni of {len(ni)} octets')
        need(found[2][1] == group_id, f'ID {found[2][1].hex()}')

        def answer(payloads, nonces, number_of_message):
            octets = wire.chain(payloads, reserved)[1]
            proof = wire.prf(keys.digest, keys.a, mid + nonces + octets)
            if spoil == number_of_message:
                proof = bytes(len(proof))
            out = sealed.write(wire.PULL, [(wire.HASH, proof), *payloads], number, reserved)
            for _ in range(1 + repeat):
                self.line.send(out)
        body = policy.sa_body(rows, reserved) if sa is None else sa
        answer([(wire.NONCE, nr), (wire.SA, body), *extra2], ni, 2)
        third = self.receive(exchange, seconds, 'message 3 of PULL', first)
        found, clear = sealed.read(third)
        kinds = [kind for kind, _ in found]
        need(kinds in ([wire.HASH], [wire.HASH, wire.GAP]), f'payloads {kinds} of message 3')
        rest = clear[4 + len(found[0][1]):]
        need(found[0][1] == wire.prf(keys.digest, keys.a, mid + ni + nr + rest), 'HASH(3)')
        asked = dict(wire.attributes(found[1][1])) if len(found) == 2 else {}
        seq = [] if sequence is None else [(wire.SEQ, struct.pack('>I', sequence))]
        answer([*seq, (wire.KD, policy.kd_body(packets) if kd is None else kd), *extra4], ni + nr,
               4)
        return {kind: wire.number_of(value) for kind, value in asked.items()}

    def receive(self, exchange, seconds, what, not_this=None):
        """The next PULL message; an Informational one is Broken, by its name."""
        def wanted(header):
            return (header.cookies == exchange.cookies
                    and header.exchange in (wire.PULL, wire.INFORMATIONAL))
        while True:
            datagram = self.line.receive(wanted, seconds, what)
            if datagram == not_this:
                continue
            if wire.Header(datagram).exchange == wire.PULL:
                return datagram
            said = wire.read_informational(exchange.keys, datagram)
            if any(kind == wire.DELETE for kind, _ in said):
                raise Broken('DELETE')
            if phase1.notify_of(said) != ['R-U-THERE']:
                raise Broken(' '.join(phase1.notify_of(said)))

    def close(self, exchange):
        """Deletes the phase 1 (RFC 2408 section 3.15)."""
        self.line.send(wire.protected(exchange.keys, [
            (wire.DELETE, struct.pack('>IBBH', wire.GDOI, 1, 16, 1) + exchange.cookies)]))


def read_ack(datagram, kek, source, kind=1):
    """The sequence number of an acknowledgement, once it is verified (RFC 8263 section 3)."""
    header = wire.Header(datagram)
    need((header.cookies, header.exchange, header.flags, header.number)
         == (kek.spi, wire.PUSH_ACK, 0, 0), 'header of an acknowledgement')
    found, size = wire.unchain(header.first, datagram[28:])
    need(size == len(datagram) - 28, 'octets after the payloads')
    need([one for one, _ in found] == [wire.HASH, wire.SEQ, wire.ID], 'payloads')
    rest = datagram[28 + 4 + len(found[0][1]):]
    like = {'spi': kek.spi, 'key': kek.key}
    digest = {1: 256, 3: 512}[kind]
    proofs = [wire.prf(name, key, rest) for name, key in
              (policy.ack_key(kind, like), policy.ack_key(kind, like, digest))]
    need(found[0][1] in proofs, 'HASH of an acknowledgement')
    need(found[2][1] == bytes([1, 0, 0, 0]) + bytes(map(int, source.split('.'))),
         f'ID {found[2][1].hex()} of an acknowledgement')
    return struct.unpack('>I', found[1][1])[0]
