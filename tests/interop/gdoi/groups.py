"""Groups of a key server: in every form that RFC 6407 allows, and in those that must be refused."""
import os
import struct

import key_server
import policy
import wire
from bench import OURS
from policy import Kek, Tek

SERVER, GROUP = '10.78.1.1', 4711
MULTICAST = '239.192.7.9'
NETS = ('10.0.0.0/24', '10.1.0.0/16')
GCM, CBC = policy.Suite(256), policy.Suite(128, 'sha256')


def teks_of(suite, **how):
    """An SA each way."""
    return [Tek(suite, *NETS, **how), Tek(suite, *NETS[::-1], **how)]


def sids_for(suite, bits=16, values=(5,), octets=2):
    return (bits, list(values), octets) if suite.gcm else None


def new_group(suite=CBC, kek=True, **how):
    return key_server.Group(teks_of(suite), Kek(SERVER, OURS, ack=1) if kek else None,
                            sids=sids_for(suite), **how)


# --- policies in every form that the RFC allows -------------------------------------------------


def identity(kind, data):
    """An ID of figure 8 that need not make sense."""
    return struct.pack('>BHB', kind, 0, len(data)) + data


def sat_of(tek, source=None, attributes=None):
    """A SAT of CBC with another source or other attributes."""
    return (bytes([1, 0]) + (source or policy.selector(tek.source))
            + policy.selector(tek.destination) + bytes([policy.AES_CBC]) + tek.spi
            + (tek.attributes() if attributes is None else attributes))


def sak_of(kek, destination):
    usual = policy.selector(kek.source, 848)
    rest = kek.sak()[1 + len(usual) + len(policy.selector(kek.destination, 848)):]
    return bytes([17]) + usual + destination + rest


def forms():
    """(what, group, how to say it)"""
    plain, gcm = new_group(), new_group(GCM)
    delays = wire.basic(1, 1) + wire.basic(2, 5)
    many = key_server.Group([Tek(policy.SUITES[at % 15], f'10.{at}.0.0/16', '10.200.0.0/16')
                             for at in range(24)] + teks_of(GCM), Kek(SERVER, OURS),
                            sids=sids_for(GCM))
    wide = key_server.Group([Tek(CBC, 'fd00:10::/64', 'fd00:11::/64', protocol=17),
                             Tek(GCM, *NETS, ports=(4000, 5000), protocol=17),
                             Tek(CBC, '10.0.0.7/32', '239.1.1.1/32')], Kek(SERVER, MULTICAST),
                            sids=sids_for(GCM))

    def signing(*how, **more):
        return key_server.Group(teks_of(CBC), Kek(SERVER, OURS, **dict(zip(
            ('sign_hash', 'sign_algorithm', 'sign_bits'), how)), **more))
    yield 'attributes and key packets backwards', gcm, {
        'rows': gcm.rows({'order': -1}, {'order': -1}), 'packets': gcm.packets()[::-1]}
    yield 'lifetimes basic in SAK, variable in SAT', plain, {
        'rows': plain.rows({'wide': True}, {'wide': False})}
    yield 'nothing that has a default', plain, {'rows': plain.rows({'short': True})}
    yield 'Group Description, which MUST be ignored', plain, {
        'rows': plain.rows({'extra': wire.basic(3, 14)})}
    yield 'KEK_MANAGEMENT_ALGORITHM, which MUST be ignored', plain, {
        'rows': plain.rows(None, {'extra': wire.basic(1, 1)})}
    yield 'RESERVED2 of SAK from RFC 3547', plain, {
        'rows': plain.rows(None, {'reserved': b'\0\1\0\x80'})}
    yield 'RESERVED fields that are not zero', plain, {'reserved': 0x42}
    for what, source in (('a source of no octets', identity(1, b'')),
                         ('a source of 3 octets, as for many senders', identity(4, bytes(3))),
                         ('a source of no type', identity(0, b'')),
                         ('a range that is a subnet',
                          identity(7, bytes([10, 0, 0, 0, 10, 0, 0, 255]))),
                         ('a range that is no subnet',
                          identity(7, bytes([10, 0, 0, 3, 10, 0, 0, 200])))):
        yield what, plain, {'rows': [plain.rows()[0], (wire.SAT, sat_of(plain.teks[0], source)),
                                     plain.rows()[-1]]}
    seconds, tunnel = wire.basic(policy.LIFE_TYPE, 1) + wire.basic(policy.LIFE, 3600), wire.basic(
        policy.ENCAPSULATION, 1)
    size, hmac = wire.basic(policy.KEY_LENGTH, 128), wire.basic(policy.AUTHENTICATION, 5)
    volume = wire.basic(policy.LIFE_TYPE, 2) + wire.variable(policy.LIFE, b'\1\0\0\0')
    for what, attributes in (('no lifetime', tunnel + size + hmac),
                             ('a lifetime in kilobytes too',
                              seconds + volume + tunnel + size + hmac),
                             ('no encapsulation mode', seconds + size + hmac)):
        yield what, plain, {'rows': [plain.rows()[0], (wire.SAT, sat_of(
            plain.teks[0], None, attributes)), plain.rows()[-1]]}
    for what, destination in (('a member by ID_KEY_ID in SAK', identity(11, b'gm 1')),
                              ('a member of no octets in SAK', identity(1, b''))):
        yield what, plain, {'rows': [(wire.SAK, sak_of(plain.kek, destination)),
                                     *plain.rows()[1:]]}
    yield 'no KEK at all', new_group(GCM, kek=False), {}
    yield 'activation and deactivation delays', new_group(gap=delays), {}
    yield 'delays in the variable form', new_group(
        gap=wire.variable(1, b'\0\1') + wire.variable(2, b'\0\0\0\5')), {}
    yield '26 SAs', many, {}
    yield 'IPv6, ports, multicast', wide, {}
    yield 'a sequence number of 4000000000', new_group(), {'sequence': 4000000000}
    yield 'a KEK and no SEQ, as before the first PUSH', new_group(), {'sequence': None}
    yield 'nonce of 8 octets', new_group(), {'nonce': os.urandom(8)}
    yield 'nonce of 128 octets', new_group(), {'nonce': os.urandom(128)}
    yield 'each message twice', new_group(), {'repeat': True}
    yield 'ECDSA-256 without SIG_HASH_ALGORITHM', signing(0, 4, 0), {}
    yield 'ECDSA-384 with it', signing(4, 5, 384), {}
    yield 'ECDSA-521', signing(0, 6, 521), {}
    yield 'RSA of 4096 bits, SHA-512, KEK of 256 bits', signing(5, 1, 4096, bits=256), {}
    yield 'RSA of 3072 bits, SHA-384, KEK of 192 bits', signing(4, 1, 3072, bits=192), {}


# --- policies that a member must refuse ---------------------------------------------------------


def bad():
    """(what, group, how it is spoilt)"""
    good, gcm = new_group(), new_group(GCM)
    sak, first, second = good.rows()
    tek = good.teks[0]

    def sat(at, octets):
        body = tek.sat()
        return [sak, (wire.SAT, body[:at] + octets + body[at + len(octets):]), second]

    def packets(extra=b'', **change):
        out = good.packets()
        out[1] = tek.packet(extra)
        for at, value in change.items():
            out[int(at[1:])] = value
        return [one for one in out if one]
    unknown = wire.basic(77, 1)
    transform = len(tek.sat()) - len(tek.attributes()) - 5
    short = policy.key_packet(policy.TEK_PACKET, tek.spi,
                              wire.variable(1, tek.key[:-1]) + wire.variable(2, tek.integrity))
    no_integrity = policy.key_packet(policy.TEK_PACKET, tek.spi, wire.variable(1, tek.key))
    return [
        ('an unknown attribute in SAK', good, {'rows': good.rows(None, {'extra': unknown})}),
        ('an unknown attribute in SAT', good, {'rows': good.rows({'extra': unknown})}),
        ('an unknown attribute in GAP', good, {'rows': [sak, (wire.GAP, unknown), first, second]}),
        ('an unknown long attribute in SAT', good, {
            'rows': good.rows({'extra': wire.variable(300, bytes(40))})}),
        ('an unknown SAT protocol', good, {'rows': sat(0, b'\x63')}),
        ('AH', good, {'rows': sat(0, b'\x02')}),
        ('an unknown transform', good, {'rows': sat(transform, b'\xfa')}),
        ('transport mode', good, {'rows': sat(len(tek.sat()) - len(tek.attributes()) + 8,
                                              wire.basic(policy.ENCAPSULATION, 2))}),
        ('an unknown SA Attribute payload', good, {'rows': [sak, first, second, (99, bytes(8))]}),
        ('SAT before SAK', good, {'rows': [first, second, sak]}),
        ('two SAKs', good, {'rows': [sak, sak, first, second]}),
        ('DOI 1', good, {'sa': b'\0\0\0\1' + policy.sa_body(good.rows())[4:]}),
        ('a wrong HASH(2)', good, {'spoil': 2}), ('a wrong HASH(4)', good, {'spoil': 4}),
        ('an unknown payload in message 2', good, {'extra2': [(99, bytes(4))]}),
        ('an unknown payload in message 4', good, {'extra4': [(99, bytes(4))]}),
        ('an unknown attribute in a TEK packet', good, {'packets': packets(unknown)}),
        ('an unknown key packet', good, {
            'packets': [*good.packets(), policy.key_packet(77, b'', wire.basic(1, 1))]}),
        ('a key that is too short', good, {'packets': packets(_1=short)}),
        ('no integrity key', good, {'packets': packets(_1=no_integrity)}),
        ('no key for an SA', good, {'packets': packets(_2=None)}),
        ('no KEK packet', good, {'packets': packets(_0=None)}),
        ('a count of key packets that is wrong', good, {
            'kd': struct.pack('>HH', 9, 0) + policy.kd_body(good.packets())[4:]}),
        ('no sender id for AES-GCM', gcm, {'packets': gcm.packets()[:-1]}),
    ]
