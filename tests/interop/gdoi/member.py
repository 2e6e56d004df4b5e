"""A group member of RFC 6407 for tests: GROUPKEY-PULL, GROUPKEY-PUSH, acknowledgements."""
import os
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

import phase1
import policy
import wire
from wire import Broken, need

_SIGN_HASH = {3: hashes.SHA256(), 4: hashes.SHA384(), 5: hashes.SHA512()}


def group_id(group):
    """The body of an ID payload for a group: a number, or an IPv4 address as text."""
    if isinstance(group, str):
        return bytes([phase1.ID_IPV4, 0, 0, 0]) + bytes(map(int, group.split('.')))
    return bytes([phase1.ID_KEY_ID, 0, 0, 0]) + struct.pack('>I', group)


class Pull:
    """A GROUPKEY-PULL under a phase 1, message by message."""

    def __init__(self, exchange):
        self.keys, self.line = exchange.keys, exchange.line
        self.number = wire.number_of(os.urandom(4)) or 1
        self.sealed = wire.Sealed(self.keys, self.keys.exchange_iv(self.number))
        self.ni = self.nr = None

    def proof(self, *parts):
        return wire.prf(self.keys.digest, self.keys.a,
                        struct.pack('>I', self.number) + b''.join(parts))

    def ask(self, payloads, what, repeat=False, **how):
        datagram = self.sealed.write(wire.PULL, payloads, self.number, **how)
        self.line.send(datagram)
        answer = self.answer(what)
        if repeat:
            self.line.send(datagram)
            need(self.answer(f'second {what}') == answer, f'the second {what} differs')
        found, clear = self.sealed.read(answer)
        need(found[0][0] == wire.HASH, f'HASH is not first in {what}')
        return found[1:], clear[4 + len(found[0][1]):], found[0][1]

    def answer(self, what, seconds=None):
        cookies = self.keys.cookies

        def wanted(header):
            return header.cookies == cookies and header.exchange in (wire.PULL, wire.INFORMATIONAL)
        while True:
            datagram = self.line.receive(wanted, seconds, what=what)
            header = wire.Header(datagram)
            if header.exchange == wire.PULL:
                need(header.number == self.number, 'Message ID of another exchange')
                return datagram
            said = wire.read_informational(self.keys, datagram)
            names = phase1.notify_of(said)
            if names:
                raise Broken(' '.join(names))
            if any(kind == wire.DELETE for kind, _ in said):
                raise Broken('DELETE')

    def first(self, group, nonce=None, repeat=False, spoil=False, **how):
        self.ni = os.urandom(16) if nonce is None else nonce
        rest = [(wire.NONCE, self.ni), (wire.ID, group if isinstance(group, bytes)
                                        else group_id(group))]
        octets = wire.chain(rest, how.get('reserved', 0))[1]
        proof = self.proof(b'spoilt' if spoil else octets)
        found, clear, theirs = self.ask([(wire.HASH, proof), *rest], 'message 2 of PULL', repeat,
                                        **how)
        need([kind for kind, _ in found] == [wire.NONCE, wire.SA], 'payloads of message 2')
        self.nr = found[0][1]
        need(8 <= len(self.nr) <= 128, f'Nr of {len(self.nr)} octets')
        need(theirs == self.proof(self.ni, clear), 'HASH(2)')
        self.policy = policy.read_sa(found[1][1])
        return self.policy

    def third(self, gap=None, repeat=False, spoil=False, **how):
        rest = [] if gap is None else [(wire.GAP, gap)]
        proof = self.proof(self.ni, b'' if spoil else self.nr, wire.chain(rest)[1] if rest else b'')
        found, clear, theirs = self.ask([(wire.HASH, proof), *rest], 'message 4 of PULL', repeat,
                                        **how)
        kinds = [kind for kind, _ in found]
        need(kinds == ([wire.SEQ, wire.KD] if self.policy['kek'] else [wire.KD]),
             f'payloads {kinds} of message 4')
        need(theirs == self.proof(self.ni, self.nr, clear), 'HASH(4)')
        self.sequence = struct.unpack('>I', found[0][1])[0] if self.policy['kek'] else None
        self.sids = policy.read_kd(found[-1][1], self.policy)
        counters = [tek for tek in self.policy['teks'] if tek['transform'] == policy.AES_GCM_16]
        need(bool(self.sids) == bool(counters), f'{len(self.sids)} sender ids')
        return self.policy


class Rekeyed:
    """What a member keeps of its Rekey SA, and reads from PUSHes."""

    def __init__(self, pull):
        self.kek, self.sequence = pull.policy['kek'], pull.sequence
        self.ack_kind = wire.number_of(self.kek.get('kek_9', b'')) or None

    def read(self, datagram):
        """{'sequence', 'deletes', 'policy', 'ack': datagram for the key server}."""
        header = wire.Header(datagram)
        need(header.cookies == self.kek['spi'], 'cookies of another Rekey SA')
        need((header.flags, header.number) == (wire.ENCRYPTED, 0), 'flags or Message ID of a PUSH')
        sealed = datagram[wire.HEADER.size:]
        clear = wire.cbc(self.kek['key'], self.kek['iv'], sealed, False)
        found, size = wire.unchain(header.first, clear)
        need(len(clear) - size < 16, f'{len(clear) - size} octets of padding')
        kinds = [kind for kind, _ in found]
        deletes = kinds.count(wire.DELETE)
        need(kinds in ([wire.SEQ] + [wire.DELETE] * deletes + [wire.SA, wire.KD, wire.SIG],
                       [wire.SEQ] + [wire.DELETE] * deletes + [wire.SIG]), f'payloads {kinds}')
        sequence = struct.unpack('>I', found[0][1])[0]
        need(sequence > self.sequence, f'SEQ {sequence} after {self.sequence}')
        self.check_signature(datagram, clear, size, found[-1][1])
        out = {'sequence': sequence, 'policy': None, 'deletes': [],
               'ack': self.kek, 'kinds': kinds}
        for kind, body in found:
            if kind == wire.DELETE:
                doi, protocol, spi_size, count = struct.unpack_from('>IBBH', body)
                need(doi == wire.GDOI and len(body) == 8 + spi_size * count, 'Delete')
                out['deletes'] += [(protocol, body[8 + at * spi_size:8 + (at + 1) * spi_size])
                                   for at in range(count)]
            elif kind == wire.SA:
                out['policy'] = policy.read_sa(body)
            elif kind == wire.KD:
                policy.read_kd(body, out['policy'], push=True)
        self.sequence = sequence
        if out['policy'] and out['policy']['kek']:
            self.adopt(out['policy']['kek'])
        return out

    def adopt(self, kek):
        if kek['spi'] != self.kek['spi']:
            self.sequence = 0  # section 4: the first PUSH under a new KEK has SEQ 1
        kek['public'] = kek['public'] or self.kek['public']
        self.kek = kek

    def check_signature(self, datagram, clear, size, signature):
        """Over "rekey", the header with the length before padding, and what precedes SIG."""
        before = size - 4 - len(signature)
        header = bytearray(datagram[:wire.HEADER.size])
        struct.pack_into('>I', header, 24, wire.HEADER.size + size)
        data = b'rekey' + bytes(header) + clear[:before]
        public = serialization.load_der_public_key(self.kek['public'])
        if wire.number_of(self.kek['kek_6']) == 1:
            public.verify(signature, data, padding.PKCS1v15(),
                          _SIGN_HASH[wire.number_of(self.kek['kek_5'])])
            return
        half = len(signature) // 2
        digest = {4: hashes.SHA256(), 5: hashes.SHA384()}[wire.number_of(self.kek['kek_6'])]
        public.verify(utils.encode_dss_signature(wire.number_of(signature[:half]),
                                                 wire.number_of(signature[half:])), data,
                      ec.ECDSA(digest))
