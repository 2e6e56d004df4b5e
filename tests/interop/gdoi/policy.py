"""Group policy and keys as RFC 6407 section 5 lays them out, read strictly and written freely."""
import ipaddress
import os
import struct

import wire
from wire import need

# Transform ids and attribute values of RFC 2407's registry.
AES_CBC, AES_GCM_16 = 12, 20
LIFE_TYPE, LIFE, ENCAPSULATION, AUTHENTICATION, KEY_LENGTH, ADDRESSES, DIRECTION = (
    1, 2, 4, 5, 6, 14, 15)
INTEGRITY = {'sha1': (2, 20), 'sha256': (5, 32), 'sha384': (6, 48), 'sha512': (7, 64)}
KEK_ATTRIBUTES = {1: 'B', 2: 'B', 3: 'B', 4: 'V', 5: 'B', 6: 'B', 7: 'B', 9: 'B'}
SAT_ATTRIBUTES = {LIFE_TYPE: 'B', LIFE: 'V', ENCAPSULATION: 'B', AUTHENTICATION: 'B',
                  KEY_LENGTH: 'B', ADDRESSES: 'B', DIRECTION: 'B'}
TEK_PACKET, KEK_PACKET, SID_PACKET = 1, 2, 4
BASIC_LIFETIME = False  # whether KEK_KEY_LIFETIME may be basic, as an old implementation has it


class Suite:
    def __init__(self, bits, integrity=None):
        self.bits, self.integrity = bits, integrity
        self.gcm = integrity is None
        self.name = f'aes-{bits}-' + ('gcm' if self.gcm else f'cbc-hmac-{integrity}')

    def new_keys(self):
        """(TEK_ALGORITHM_KEY, TEK_INTEGRITY_KEY or None)"""
        if self.gcm:
            return os.urandom(self.bits // 8 + 4), None
        return os.urandom(self.bits // 8), os.urandom(INTEGRITY[self.integrity][1])


SUITES = [Suite(bits, integrity) for bits in (128, 192, 256)
          for integrity in (None, 'sha1', 'sha256', 'sha384', 'sha512')]


def selector(network, port=0):
    """An ID of figure 8: type, port, length in one octet, data."""
    network = ipaddress.ip_network(network)
    first, mask = network.network_address.packed, network.netmask.packed
    six = network.version == 6
    if network.num_addresses == 1:
        return struct.pack('>BHB', 5 if six else 1, port, len(first)) + first
    return struct.pack('>BHB', 6 if six else 4, port, 2 * len(first)) + first + mask


def read_selector(data, at):
    """(network, port), and where it ends."""
    need(len(data) >= at + 4, 'ID without a header')
    kind, port, size = struct.unpack_from('>BHB', data, at)
    body = data[at + 4:at + 4 + size]
    need(len(body) == size and size == {1: 4, 4: 8, 5: 16, 6: 32}.get(kind),
         f'ID type {kind} of {size} octets')
    half = size if kind in (1, 5) else size // 2
    address = ipaddress.ip_address(body[:half])
    mask = body[half:] or b'\xff' * half
    prefix = bin(wire.number_of(mask)).count('1')
    return (ipaddress.ip_network((address, prefix)), port), at + 4 + size


# --- reading ------------------------------------------------------------------------------------


def read_sak(body):
    (source, destination), at, found = ([None, None], 1, [])
    for _ in range(2):
        one, at = read_selector(body, at)
        found.append(one)
    source, destination = found
    need(len(body) >= at + 20, 'SAK ends before its SPI')
    need(body[at + 16:at + 20] == bytes(4), 'RESERVED2 of SAK')
    kek = {'protocol': body[0], 'source': source, 'destination': destination,
           'spi': body[at:at + 16],
           **{f'kek_{kind}': value for kind, value in
              wire.only_once(body[at + 20:], KEK_ATTRIBUTES).items()}}
    need('kek_2' in kek and 'kek_6' in kek, 'KEK_ALGORITHM and SIG_ALGORITHM MUST be there')
    need('kek_1' not in kek, 'KEK_MANAGEMENT_ALGORITHM MUST NOT be in a PULL')
    if 'kek_4' in kek and not BASIC_LIFETIME:
        need(len(kek['kek_4']) == 4, 'KEK_KEY_LIFETIME is a 4-octet number')
    return kek


def read_sat(body):
    need(body[0] == 1, f'SAT protocol {body[0]}')
    source, at = read_selector(body, 2)
    destination, at = read_selector(body, at)
    need(len(body) >= at + 5, 'SAT ends before its SPI')
    found = wire.only_once(body[at + 5:], SAT_ATTRIBUTES)
    need(LIFE_TYPE in found and LIFE in found and ENCAPSULATION in found,
         'a life and a mode MUST be understood; without them an SA has none')
    sat = {'protocol': body[1], 'source': source, 'destination': destination,
           'transform': body[at], 'spi': body[at + 1:at + 5],
           **{kind: wire.number_of(value) for kind, value in found.items()}}
    need(sat['transform'] in (AES_CBC, AES_GCM_16), f"transform {sat['transform']}")
    need((sat['transform'] == AES_CBC) == (AUTHENTICATION in sat),
         'Authentication Algorithm belongs to CBC and not to GCM')
    need(sat[ENCAPSULATION] == 1 and sat.get(ADDRESSES, 4) == 4, 'tunnel, both addresses kept')
    need(KEY_LENGTH in sat, 'AES needs a Key Length')
    return sat


def read_sa(body):
    """{'kek', 'gap', 'teks'} of an SA payload of PULL or PUSH."""
    doi, situation, first, reserved = struct.unpack_from('>IIHH', body)
    need((doi, situation, reserved) == (wire.GDOI, 0, 0), 'DOI, Situation, RESERVED2 of SA')
    rows, size = wire.unchain(first, body[12:])
    need(size == len(body) - 12, 'octets after the SA Attribute payloads')
    kinds = [kind for kind, _ in rows]
    need(kinds == sorted(kinds, key=[wire.SAK, wire.GAP, wire.SAT].index)
         and kinds.count(wire.SAK) <= 1 and kinds.count(wire.GAP) <= 1
         and (wire.SAK in kinds or wire.SAT in kinds), f'SA Attribute payloads {kinds}')
    out = {'kek': None, 'gap': {}, 'teks': []}
    for kind, row in rows:
        if kind == wire.SAK:
            out['kek'] = read_sak(row)
        elif kind == wire.GAP:
            out['gap'] = {one: wire.number_of(value) for one, value in
                          wire.only_once(row, {1: 'B', 2: 'B'}).items()}
        else:
            out['teks'].append(read_sat(row))
    return out


def read_kd(body, policy, push=False):
    """Puts the keys into the policy they belong to; returns the sender ids [(bits, value)]."""
    count, reserved = struct.unpack_from('>HH', body)
    need(reserved == 0, 'RESERVED2 of KD')
    at, sids, seen, keks = 4, [], 0, 0
    by_spi = {tek['spi']: tek for tek in policy['teks']}
    while at < len(body):
        kind, zero, size, spi_size = struct.unpack_from('>BBHB', body, at)
        need(zero == 0 and size >= 5 + spi_size and at + size <= len(body), 'key packet header')
        spi, rest = body[at + 5:at + 5 + spi_size], body[at + 5 + spi_size:at + size]
        at, seen = at + size, seen + 1
        if kind == TEK_PACKET:
            need(spi in by_spi, f'key packet for SPI {spi.hex()}, which no SAT has')
            _take_tek(by_spi.pop(spi), wire.only_once(rest, {1: 'V', 2: 'V'}))
        elif kind == KEK_PACKET:
            keks += 1
            need(policy['kek'] and spi == policy['kek']['spi'], 'KEK packet without its SAK')
            found = wire.only_once(rest, {1: 'V', 2: 'V'})
            policy['kek'].update(iv=found[1][:16], key=found[1][16:], public=found.get(2))
            need(len(found[1]) == 16 + wire.number_of(policy['kek']['kek_3']) // 8,
                 f'KEK_ALGORITHM_KEY of {len(found[1])} octets')
        else:
            need(kind == SID_PACKET and spi_size == 0, f'key packet type {kind}')
            need(not push, 'SID MUST NOT be in a PUSH')
            sids += _read_sids(rest)
    need(seen == count, f'{seen} key packets, announced are {count}')
    need(keks == (policy['kek'] is not None), f'{keks} KEK packets')
    need(not by_spi, f'no key for SPIs {[spi.hex() for spi in by_spi]}')
    return sids


def _take_tek(tek, found):
    need(len(found[1]) == tek[KEY_LENGTH] // 8 + (4 if tek['transform'] == AES_GCM_16 else 0),
         f'TEK_ALGORITHM_KEY of {len(found[1])} octets')
    if tek['transform'] == AES_CBC:
        size = dict(INTEGRITY.values())[tek[AUTHENTICATION]]
        need(len(found.get(2, b'')) == size, 'TEK_INTEGRITY_KEY')
    else:
        need(2 not in found, 'GCM has no TEK_INTEGRITY_KEY')
    tek['key'], tek['integrity'] = found[1], found.get(2)


def _read_sids(data):
    found = wire.attributes(data)
    bits = [wire.number_of(value) for kind, value in found if kind == 1]
    need(len(bits) == 1 and bits[0] in (8, 12, 16), f'NUMBER_OF_SID_BITS {bits}')
    values = [wire.number_of(value) for kind, value in found if kind == 2]
    need(all(value < 1 << bits[0] for value in values), f'SID_VALUE {values} in {bits[0]} bits')
    return [(bits[0], value) for value in values]


# --- writing ------------------------------------------------------------------------------------


class Tek:
    """An ESP SA of the group: its keys, and how they are written."""

    def __init__(self, suite, source, destination, life=3600, protocol=0, ports=(0, 0)):
        self.suite, self.source, self.destination = suite, source, destination
        self.life, self.protocol, self.ports = life, protocol, ports
        self.spi = struct.pack('>I', 0x1000 + int.from_bytes(os.urandom(3), 'big'))
        self.key, self.integrity = suite.new_keys()

    def attributes(self, order=1, wide=False, extra=b'', short=False):
        """wide: variable where the RFC has variable; short: leave out what has a default."""
        life = (wire.variable(LIFE, struct.pack('>I', self.life)) if wide
                else wire.basic(LIFE, self.life))
        parts = [wire.basic(LIFE_TYPE, 1) + life, wire.basic(ENCAPSULATION, 1),
                 wire.basic(KEY_LENGTH, self.suite.bits)]
        if not self.suite.gcm:
            parts.append(wire.basic(AUTHENTICATION, INTEGRITY[self.suite.integrity][0]))
        if not short:
            parts += [wire.basic(ADDRESSES, 4), wire.basic(DIRECTION, 3)]
        return b''.join([*parts, extra][::order])

    def sat(self, **how):
        head = (bytes([1, self.protocol]) + selector(self.source, self.ports[0])
                + selector(self.destination, self.ports[1]))
        transform = AES_GCM_16 if self.suite.gcm else AES_CBC
        return head + bytes([transform]) + self.spi + self.attributes(**how)

    def packet(self, extra=b'', order=1):
        parts = [wire.variable(1, self.key)]
        if self.integrity:
            parts.append(wire.variable(2, self.integrity))
        return key_packet(TEK_PACKET, self.spi, b''.join([*parts, extra][::order]))


class Kek:
    def __init__(self, source, destination, bits=128, life=7200, ack=None, sign_hash=3,
                 sign_algorithm=1, sign_bits=2048):
        self.source, self.destination, self.bits, self.life = source, destination, bits, life
        self.ack, self.signing = ack, (sign_hash, sign_algorithm, sign_bits)
        self.spi, self.iv, self.key = os.urandom(16), os.urandom(16), os.urandom(bits // 8)

    def sak(self, order=1, wide=True, reserved=bytes(4), extra=b''):
        life = (wire.variable(4, struct.pack('>I', self.life)) if wide
                else wire.basic(4, self.life))
        parts = [wire.basic(2, 3), wire.basic(3, self.bits), life,
                 wire.basic(6, self.signing[1])]
        if self.signing[0]:
            parts.append(wire.basic(5, self.signing[0]))
        if self.signing[2]:
            parts.append(wire.basic(7, self.signing[2]))
        if self.ack:
            parts.append(wire.basic(9, self.ack))
        return (bytes([17]) + selector(self.source, 848) + selector(self.destination, 848)
                + self.spi + reserved + b''.join([*parts, extra][::order]))

    def packet(self, public=None, order=1):
        parts = [wire.variable(1, self.iv + self.key)]
        if public:
            parts.append(wire.variable(2, public))
        return key_packet(KEK_PACKET, self.spi, b''.join(parts[::order]))


def key_packet(kind, spi, body):
    return struct.pack('>BBHB', kind, 0, 5 + len(spi) + len(body), len(spi)) + spi + body


def sid_packet(bits, values, octets):
    return key_packet(SID_PACKET, b'', wire.basic(1, bits) + b''.join(
        wire.variable(2, value.to_bytes(octets, 'big')) for value in values))


def sa_body(rows, reserved=0):
    """An SA payload's body of [(SAK, GAP or SAT, body)]."""
    first, data = wire.chain(rows, reserved)
    return struct.pack('>IIHH', wire.GDOI, 0, first, 0) + data


def kd_body(packets):
    return struct.pack('>HH', len(packets), 0) + b''.join(packets)


def delete_body(protocol, spis, size=4):
    return struct.pack('>IBBH', wire.GDOI, protocol, size, len(spis)) + b''.join(spis)


# --- GROUPKEY-PUSH and its acknowledgement ------------------------------------------------------


def ack_key(kind, kek, length=None):
    """RFC 8263 section 3.2, where L has two meanings: the output, or 512 for SHA-256 by a MUST."""
    digest = {1: 'sha256', 3: 'sha512'}[kind]
    length = length or {1: 512, 3: 1024}[kind]
    return digest, wire.prf(digest, kek['key'], b'GROUPKEY-PUSH ACK\0' + kek['spi']
                            + struct.pack('>H', length))


def acknowledgement(kek, sequence, address, kind=1, length=None, spoil=False):
    digest, key = ack_key(kind, kek, length)
    packed = ipaddress.ip_address(address).packed
    identity = bytes([1 if len(packed) == 4 else 5, 0, 0, 0]) + packed
    rest = [(wire.SEQ, struct.pack('>I', sequence)), (wire.ID, identity)]
    proof = wire.prf(digest, key, wire.chain(rest)[1])
    proof = bytes(len(proof)) if spoil else proof
    return wire.message(kek['spi'], wire.PUSH_ACK, [(wire.HASH, proof), *rest])
