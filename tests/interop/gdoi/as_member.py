#!/usr/bin/python3
"""Our key server against a group member that was written from the RFCs alone.

usage: as_member.py SCENARIO      with COHORT_BUILD set; needs root (or sudo -n)
"""
import os
import struct
import sys

import bench
import member
import phase1
import policy
import wire
from bench import OURS, PSK, policy_of, wait_for
from cryptography import x509
from wire import Broken

from lab import scenario  # of tests/e2e; bench has put it on the path

IDENTITY = phase1.Identity(psk=PSK.encode())
ACL = {'data': ['permit ip 10.0.0.0 0.0.0.255 10.1.0.0 0.0.255.255',
                'permit ip 10.1.0.0 0.0.255.255 10.0.0.0 0.0.0.255'],
       'both': ['permit udp 10.0.0.0/24 10.1.0.0/16', 'permit ipv6 fd00:10::/64 fd00:11::/64'],
       'six': ['permit ipv6 fd00:10::/64 fd00:11::/64']}
MULTICAST = '239.192.7.8'
SECOND_HASH = {4: 'sha256', 5: 'sha384', 6: 'sha512'}
PHASE1 = [phase1.Suite(key_bits=bits, digest=digest, group=group) for bits, digest, group in
          ((256, 4, 14), (128, 4, 15), (192, 5, 16), (256, 6, 19), (128, 5, 20), (192, 6, 21))]
METHODS = {phase1.PSK: 'pre-share', phase1.RSA: 'rsa-sig', phase1.ECDSA256: 'ecdsa-256-sig',
           phase1.ECDSA384: 'ecdsa-384-sig', phase1.ECDSA521: 'ecdsa-521-sig'}


def policies(method=phase1.PSK):
    return [policy_of(suite.key_bits, SECOND_HASH[suite.digest], suite.group, METHODS[method])
            for suite in PHASE1]


def group(identity, profile='gcm', rekey=None, sas=None, **more):
    return {'name': f'group-{identity}', 'identity': identity,
            'rekey': {'signing_key': 'sign', 'lifetime': '3600s', 'retransmit_interval': '1s',
                      **(rekey or {})},
            'sas': sas or [{'access_list': 'data', 'profile': profile}],
            'authorization': [{'address': '10.78.0.0/16'}, {'address': 'fd00:78::/64'}],
            'activation_delay': '2s', 'deactivation_delay': '5s', **more}


class Server:
    """cohortd as a key server of some groups."""

    def __init__(self, net, groups, phase1_policies=None, authority=None, key='rsa', above=(),
                 address=OURS):
        self.net = net
        out = bench.common(net.ours, 'ks', phase1_policies or policies(), authority, key)
        out.setdefault('keys', {}).update({
            'sign': {'type': 'rsa', 'modulus': 2048}, 'sign256': {'type': 'ecdsa-p256'},
            'sign384': {'type': 'ecdsa-p384'}, 'sign521': {'type': 'ecdsa-p521'}})
        out['access_lists'] = ACL
        out['profiles'] = {suite.name: {'transform': suite.name, 'lifetime': '3600s'}
                           for suite in policy.SUITES}
        out['profiles']['gcm'] = {'transform': 'aes-256-gcm', 'lifetime': '3600s'}
        out['profiles']['soon'] = {'transform': 'aes-128-cbc-hmac-sha256', 'lifetime': '10s'}
        out['key_server'] = {'address': address, 'groups': groups,
                             **({'trustpoint': 'LAB'} if authority else {})}
        self.daemon = bench.daemons.KeyServer(net.ours, out).start()
        if authority:
            bench.certify(self.daemon, authority, above)

    def members(self, name):
        return self.daemon.ask('show crypto gkm ks members', group=name)[0]['members']

    def rekey(self, name, kek=False):
        self.daemon.ask('ks rekey', group=name, kek=kek)


def connect(net, suite=None, identity=IDENTITY, address=None, **how):
    line, address = net.line(address)
    return phase1.initiate(line, identity, address, suite or PHASE1[0], **how)


def register(exchange, name, gap=None, **how):
    one = member.Pull(exchange)
    one.first(name, **how)
    one.third(gap)
    return one


def works(net, name=1):
    """A good registration, after whatever was before."""
    return register(connect(net), name).policy['teks']


def refused(check, what, call, said):
    """call() must end in a refusal that names one of said ('' is silence)."""
    try:
        call()
    except phase1.Silence:
        check(what, '' in said, 'silence')
    except Broken as broken:
        check(what, str(broken) in said, broken)
    else:
        check(what, False, 'it was accepted')


def accepted(check, what, call):
    try:
        check(what, bool(call().policy['teks']))
    except Broken as broken:
        check(what, False, broken)


# --- scenarios ----------------------------------------------------------------------------------


def phase1_psk(lab, check):
    """Each suite, and what a strict reader of RFC 2408 may send that we must not mind."""
    net = bench.Net(lab)
    Server(net, [group(1)])
    for suite in PHASE1:
        teks = register(connect(net, suite), 1).policy['teks']
        check(f'AES-{suite.key_bits}, {SECOND_HASH[suite.digest]}, group {suite.group}',
              len(teks) == 2)
    good, other = PHASE1[0], phase1.Suite(key_bits=192, digest=6, group=14)
    forms = {
        'attributes in reverse order': [good.transform(order=-1)],
        'lifetime as a variable attribute': [good.transform(life=struct.pack('>I', 3600))],
        'lifetime of 3 octets': [good.transform(life=b'\x00\x0e\x10')],
        'lifetime of 8 octets': [good.transform(life=struct.pack('>Q', 3600))],
        'the good one among ten': [other.transform()] * 8 + [good.transform(), other.transform()],
        'a transform of an unknown cipher before it': [
            wire.basic(1, 65001) + wire.basic(2, 4), good.transform()],
        'a transform with an unknown attribute before it': [
            good.transform(extra=wire.basic(16001, 7)), good.transform()],
        'a transform with a long unknown attribute before it': [
            good.transform(extra=wire.variable(16002, bytes(300))), good.transform()],
        'a transform with PRF and field attributes before it': [
            good.transform(extra=wire.basic(13, 1)), good.transform()],
    }
    for what, transforms in forms.items():
        accepted(check, what, lambda transforms=transforms: register(
            connect(net, sa=phase1.sa_body(transforms)), 1))
    for what, how in {
            'Situation 1': {'sa': phase1.sa_body([good.transform()], situation=1)},
            'an SPI in the proposal': {'sa': phase1.sa_body([good.transform()], spi=bytes(8))},
            'an SPI of 16 octets': {'sa': phase1.sa_body([good.transform()], spi=os.urandom(16))},
            'DOI 1': {'sa': phase1.sa_body([good.transform()], doi=1, situation=1)},
            'RESERVED fields that are not zero': {'reserved': 0x5a},
            'RESERVED2 of transforms': {'sa': phase1.sa_body([good.transform()], reserved=0xa5)},
            'vendor ids': {'vendors': [os.urandom(16), b'', b'x', bytes(200)] + [b'v'] * 12},
            'nonce of 8 octets': {'nonce': os.urandom(8)},
            'nonce of 256 octets': {'nonce': os.urandom(256)},
            'a block of padding more than needed': {'padding': 1},
            'INITIAL-CONTACT with DOI 1 in message 5': {'extra5': [
                (wire.NOTIFY, struct.pack('>IBBH', 1, 1, 16, 24578) + bytes(16))]},
            'each message twice': {'repeat': True}}.items():
        accepted(check, what, lambda how=how: register(connect(net, **how), 1))
    for what, head, name in (('ID_FQDN', b'\2\0\0\0', b'gm.example.org'),
                             ('ID_USER_FQDN', b'\3\0\0\0', b'gm@example.org'),
                             ('ID_KEY_ID', b'\x0b\0\0\0', b'any octets'),
                             ('ID with UDP and port 848', b'\1\x11\3\x50', None)):
        line, address = net.line()
        named = head + (name or bytes(map(int, address.split('.'))))
        accepted(check, what, lambda named=named, line=line, address=address: register(
            phase1.initiate(line, phase1.Identity(psk=PSK.encode(), named=named), address,
                            PHASE1[0]), 1))
    line, address = net.line(port=40848)
    accepted(check, 'from another port than 848', lambda: register(
        phase1.initiate(line, IDENTITY, address, PHASE1[0]), 1))


def phase1_certificates(lab, check):
    net = bench.Net(lab)
    root = bench.Authority('root')
    middle = bench.Authority('middle', issuer=root)
    stranger = bench.Authority('stranger')
    allowed = {'authorization': [{'organizational_unit': 'GETVPN_GM'}]}
    server = Server(net, [group(1, **allowed)], policies(phase1.RSA), middle,
                    above=[middle.certificate])
    suites = [phase1.Suite(phase1.RSA, one.key_bits, one.digest, one.group) for one in PHASE1]
    plain = middle.identity('gm-plain', above=[middle.certificate])
    for suite in suites:
        exchange = connect(net, suite, plain)
        check(f'RSA with AES-{suite.key_bits}, {SECOND_HASH[suite.digest]}, group {suite.group}',
              register(exchange, 1).policy['teks'])
    check('its certificate comes with the intermediate',
          len(exchange.peer_chain) >= 2 and bench.der(middle.certificate) in exchange.peer_chain)
    check('it asks for certificates', exchange.asked_for)
    dn = root.subject.public_bytes()
    for what, identity, how in (
            ('CERTREQ empty', plain, {'certreqs': [b'']}),
            ('CERTREQ of our root', plain, {'certreqs': [dn]}),
            ('CERTREQ of others too', plain,
             {'certreqs': [bench.name('other').public_bytes(), dn]}),
            ('no CERTREQ', plain, {}),
            ('CERTREQ of nobody it knows', plain,
             {'certreqs': [bench.name('other').public_bytes()]}),
            ('RSA of 3072 bits', root.identity('gm-3072', kind='rsa3072'), {}),
            ('a chain with the root',
             middle.identity('gm-chain', kind='rsa3072',
                             above=[middle.certificate, root.certificate]), {}),
            ('the chain in another order',
             phase1.Identity(key=plain.key, chain=[plain.chain[0], bench.der(root.certificate),
                                                   plain.chain[1]]), {}),
            ('a revocation list and an unknown encoding among the certificates', plain,
             {'extra5': [(wire.CERT, b'\7' + bytes(60)), (wire.CERT, b'\x63' + bytes(9))]}),
            ('each message twice', plain, {'repeat': True})):
        accepted(check, what, lambda identity=identity, how=how: register(
            connect(net, suites[0], identity, **how), 1))
    before = len(server.members('group-1'))
    code_signing = x509.ObjectIdentifier('1.3.6.1.5.5.7.3.3')
    for what, identity, said, logged in (
            ('a certificate of a stranger', stranger.identity('gm'), 'INVALID-CERTIFICATE',
             'unknown_ca'),
            ('a chain without its intermediate', middle.identity('gm'), 'INVALID-CERTIFICATE',
             'unknown_ca'),
            ('a certificate that has expired', root.identity('gm', hours=(-9, -1)),
             'INVALID-CERTIFICATE', 'certificate_expired'),
            ('a certificate of tomorrow', root.identity('gm', hours=(24, 48)),
             'INVALID-CERTIFICATE', 'certificate_not_yet_valid'),
            ('a certificate for encryption alone', root.identity('gm', signs=False),
             'INVALID-CERTIFICATE', 'wrong_key_usage'),
            ('a certificate for signing code', root.identity('gm', usages=[code_signing]),
             'INVALID-CERTIFICATE', 'wrong_extended_key_usage'),
            ('a wrong signature', phase1.Identity(key=bench.new_key('rsa'), chain=plain.chain),
             'INVALID-SIGNATURE', 'bad_signature')):
        had = server.daemon.refusals().get(logged, 0)
        refused(check, what, lambda identity=identity: connect(net, suites[0], identity),
                [said, 'AUTHENTICATION-FAILED'])
        check(f'{what}: the key server names it {logged}',
              server.daemon.refusals().get(logged, 0) > had, server.daemon.refusals())
    outsider = connect(net, suites[0], root.identity('gm-outsider', 'OTHER'))
    refused(check, 'a certificate of another unit', lambda: register(outsider, 1),
            ['INVALID-ID-INFORMATION', 'AUTHENTICATION-FAILED'])
    check('nobody of these is a member', len(server.members('group-1')) == before)
    register(connect(net, suites[0], plain), 1)
    warning = bench.certify(server.daemon, root, hours=(-9, -1))
    check('an import of a certificate that has expired says so',
          'certificate_expired' in (warning or ''), warning)
    warning = bench.certify(server.daemon, root)
    check('an import of a good one has nothing to say', warning is None, warning)


def _bad_phase1():
    """(what, step, payloads to payloads, what may be said); '' is silence."""
    transform = PHASE1[0].transform()
    good = phase1.sa_body([transform])
    form = ['PAYLOAD-MALFORMED', 'INVALID-PAYLOAD-TYPE', 'NO-PROPOSAL-CHOSEN', '15', '']
    key = ['17', 'PAYLOAD-MALFORMED', '']  # INVALID-KEY-INFORMATION
    proof = ['AUTHENTICATION-FAILED', 'INVALID-HASH-INFORMATION', 'PAYLOAD-MALFORMED',
             'INVALID-ID-INFORMATION', 'INVALID-PAYLOAD-TYPE', '']

    def offer(body):
        return lambda _: [(wire.SA, body)]
    size = wire.DiffieHellman(14).size
    prime = wire.modulus(14)
    return [
        ('no transform', 1, offer(phase1.sa_body([])), form),
        ('no proposal', 1, offer(good[:8]), form),
        ('DOI 7', 1, offer(phase1.sa_body([transform], doi=7)), form + ['DOI-NOT-SUPPORTED']),
        ('Situation 6', 1, offer(phase1.sa_body([transform], situation=6)),
         form + ['SITUATION-NOT-SUPPORTED']),
        ('a proposal of ESP', 1, offer(good[:13] + b'\3' + good[14:]), form),
        ('a count of transforms that lies', 1, offer(good[:15] + b'\7' + good[16:]), form),
        ('a length that lies', 1, offer(good[:10] + b'\xff' + good[11:]), form),
        ('an attribute that ends early', 1, offer(phase1.sa_body([transform + b'\x80'])), form),
        ('a cipher twice', 1, offer(phase1.sa_body([transform + wire.basic(1, 7)])), form),
        ('two SAs', 1, lambda payloads: payloads * 2, form),
        ('an unknown payload', 1, lambda payloads: [*payloads, (77, bytes(4))], form),
        ('nothing acceptable', 1, offer(phase1.sa_body([phase1.Suite(
            key_bits=192, digest=4, group=21).transform()])), ['NO-PROPOSAL-CHOSEN']),
        ('KE of 0', 3, lambda payloads: [(wire.KE, bytes(size)), payloads[1]], key),
        ('KE of 1', 3, lambda payloads: [(wire.KE, bytes(size - 1) + b'\1'), payloads[1]], key),
        ('KE of p - 1', 3, lambda payloads: [
            (wire.KE, (prime - 1).to_bytes(size, 'big')), payloads[1]], key),
        ('KE too short', 3, lambda payloads: [(wire.KE, bytes(100)), payloads[1]], key),
        ('no KE', 3, lambda payloads: payloads[1:], form),
        ('no nonce', 3, lambda payloads: payloads[:1], form),
        ('a nonce of 7 octets', 3, lambda payloads: [payloads[0], (wire.NONCE, bytes(7))], form),
        ('a nonce of 257 octets', 3, lambda payloads: [payloads[0], (wire.NONCE, bytes(257))],
         form),
        ('no ID', 5, lambda payloads: payloads[1:], proof),
        ('no HASH', 5, lambda payloads: payloads[:1], proof),
        ('a wrong HASH', 5, lambda payloads: [payloads[0], (wire.HASH, bytes(32))], proof),
        ('another address', 5, lambda payloads: [
            (wire.ID, b'\1\0\0\0\x0a\x4e\x63\x63'), payloads[1]], proof),
        ('message 5 in clear', 5, lambda payloads: None, proof),
        ('two IDs', 5, lambda payloads: [payloads[0], *payloads], proof),
    ]


def phase1_refusals(lab, check):
    """Each named or silent; nothing comes of it, and a good registration works afterwards."""
    net = bench.Net(lab)
    server = Server(net, [group(1)])
    for what, step, change, said in _bad_phase1():
        line, address = net.line()
        line.patience = 0.3 if '' in said else 8
        refused(check, what, lambda: phase1.initiate(
            line, IDENTITY, address, PHASE1[0],
            change=lambda at, payloads: change(payloads) if at == step else payloads), said)
        line.drain()
        line.patience = 8
        accepted(check, f'{what}: and then a good one', lambda: register(
            phase1.initiate(line, IDENTITY, address, PHASE1[0]), 1))
    wrong = server.daemon.refusals()
    check('refusals have names', len(wrong) >= 5, wrong)


def _ecdsa(lab, check, kind, method, tied):
    net = bench.Net(lab)
    root = bench.Authority('root', kind)
    Server(net, [group(1, rekey={'signing_key': f'sign{kind[1:]}'})], policies(method), root,
           key=kind)
    for at, one in enumerate(PHASE1):
        suite = phase1.Suite(method, one.key_bits, one.digest, one.group)
        identity = root.identity('gm', kind=kind)
        identity.hashed = at % 2 == 1
        exchange = connect(net, suite, identity)
        pulled = register(exchange, 1)
        how = 'hashed once more' if identity.hashed else 'as the digest'
        check(f'{METHODS[method]} with {SECOND_HASH[suite.digest]}, group {suite.group}, '
              f'HASH_I {how}', wire.number_of(pulled.policy['kek']['kek_6']) == tied)


def phase1_ecdsa(lab, check):
    _ecdsa(lab, check, 'p256', phase1.ECDSA256, 4)


def phase1_ecdsa384(lab, check):
    _ecdsa(lab, check, 'p384', phase1.ECDSA384, 5)


def phase1_ecdsa521(lab, check):
    _ecdsa(lab, check, 'p521', phase1.ECDSA521, 6)


# --- GROUPKEY-PULL ------------------------------------------------------------------------------


def suites(lab, check):
    """Every suite in a group of its own, all registered for under one phase 1."""
    net = bench.Net(lab)
    Server(net, [group(100 + at, suite.name) for at, suite in enumerate(policy.SUITES)])
    exchange = connect(net)
    for at, suite in enumerate(policy.SUITES):
        teks = register(exchange, 100 + at).policy['teks']
        wanted = (policy.AES_GCM_16 if suite.gcm else policy.AES_CBC, suite.bits,
                  None if suite.gcm else policy.INTEGRITY[suite.integrity][0])
        seen = {(tek['transform'], tek[policy.KEY_LENGTH], tek.get(policy.AUTHENTICATION))
                for tek in teks}
        check(suite.name, len(teks) == 2 and seen == {wanted}, seen)


def pull(lab, check):
    net = bench.Net(lab)
    several = [{'access_list': 'data', 'profile': 'gcm'},
               {'access_list': 'six', 'profile': 'aes-192-cbc-hmac-sha384'}]
    server = Server(net, [group(1), group('10.1.2.3'), group(3, sas=several),
                          group(4, sender_id_bits=8), group(5, sender_id_bits=12),
                          group(6, profile='aes-128-cbc-hmac-sha1'),
                          group(0xfffffffe, sas=[{'access_list': 'both', 'profile': 'gcm'}])])
    exchange = connect(net)
    lent = []
    for what, name, how in (
            ('nonce of 8 octets', 1, {'nonce': os.urandom(8)}),
            ('nonce of 128 octets', 1, {'nonce': os.urandom(128)}),
            ('group of an ID_IPV4_ADDR', '10.1.2.3', {}), ('several SAs', 3, {}),
            ('each message twice', 1, {'repeat': True}),
            ('RESERVED fields that are not zero', 1, {'reserved': 0x77}),
            ('a block of padding more than needed', 1, {'padding': 1}),
            ('the largest group number but one', 0xfffffffe, {})):
        accepted(check, what, lambda name=name, how=how: register(exchange, name, **how))
    for what, gap, count in (
            ('no GAP', None, 1), ('a GAP without attributes', b'', 1),
            ('SENDER_ID_REQUEST of 1', wire.basic(3, 1), 1),
            ('SENDER_ID_REQUEST of 7', wire.basic(3, 7), 7),
            ('SENDER_ID_REQUEST in the variable form', wire.variable(3, bytes([0, 3])), 3)):
        sids = register(exchange, 1, gap).sids
        lent += sids
        check(f'{what}: {count} sender ids', len(sids) == count, sids)
    check('no sender id is lent twice', len(set(lent)) == len(lent), lent)
    for name, bits in ((4, 8), (5, 12)):
        sids = register(exchange, name, wire.basic(3, 2)).sids
        check(f'sender ids of {bits} bits', {one for one, _ in sids} == {bits}, sids)
    check('no sender ids where nothing counts', register(exchange, 6, wire.basic(3, 2)).sids == [])
    one, other = member.Pull(exchange), member.Pull(exchange)
    one.first(1)
    other.first(3)
    other.third()
    one.third()
    check('two PULLs that cross under one phase 1', one.policy['teks'] and other.policy['teks'])
    teks = register(exchange, 0xfffffffe).policy['teks']
    check('selectors: protocol, IPv4, IPv6', sorted(
        (tek['protocol'], str(tek['source'][0]), str(tek['destination'][0])) for tek in teks)
        == [(0, 'fd00:10::/64', 'fd00:11::/64'), (17, '10.0.0.0/24', '10.1.0.0/16')], teks)
    check('one member each, however often it came', len(server.members('group-1')) == 1)


def _hostile_pulls(exchange):
    """(what, call, what may be said); '' is silence."""
    def first(**how):
        return lambda: member.Pull(exchange).first(how.pop('group', 1), **how)

    def third(before=(), **how):
        def call():
            one = member.Pull(exchange)
            one.first(1)
            one.third(*before, **how)
        return call

    def raw(payloads, exchange_type=wire.PULL):
        def call():
            exchange.line.send(wire.protected(exchange.keys, payloads, exchange=exchange_type))
            member.Pull(exchange).answer('nothing', 0.3)
        return call
    nonce, name = (wire.NONCE, os.urandom(16)), (wire.ID, member.group_id(1))
    form = ['PAYLOAD-MALFORMED', 'INVALID-PAYLOAD-TYPE', '']
    unknown = ['INVALID-ID-INFORMATION']
    return [
        ('an unknown group', first(group=77), unknown),
        ('an unknown group of an address', first(group='10.9.9.9'), unknown),
        ('a group number of 3 octets', first(group=bytes([11, 0, 0, 0, 0, 0, 1])), unknown + form),
        ('a group number of 5 octets', first(group=bytes([11, 0, 0, 0, 0, 0, 0, 0, 1])),
         unknown + form),
        ('a group by name', first(group=bytes([2, 0, 0, 0]) + b'group-1'), unknown + form),
        ('an ID without a value', first(group=bytes([11, 0, 0, 0])), unknown + form),
        ('a nonce of 7 octets', first(nonce=bytes(7)), form),
        ('a nonce of 129 octets', first(nonce=bytes(129)), form),
        ('a wrong HASH(1)', first(spoil=True), ['INVALID-HASH-INFORMATION', '']),
        ('a wrong HASH(3)', third(spoil=True), ['INVALID-HASH-INFORMATION', '']),
        ('an unknown attribute in GAP', third([wire.basic(77, 1)]), form),
        ('a GAP that ends in an attribute', third([b'\x80']), form),
        ('SENDER_ID_REQUEST of 65535', third([wire.basic(3, 65535)]), None),
        ('no nonce', raw([name]), form), ('no group', raw([nonce]), form),
        ('two groups', raw([nonce, name, name]), form),
        ('two nonces', raw([nonce, nonce, name]), form),
        ('an unknown payload', raw([nonce, name, (99, bytes(8))]), form),
        ('an SA from a member', raw([nonce, name, (wire.SA, bytes(12))]), form),
        ('nothing but HASH', raw([]), form),
        ('Quick Mode 34', raw([nonce, name], 34), ['INVALID-EXCHANGE-TYPE', '']),
    ]


def pull_refusals(lab, check):
    net = bench.Net(lab)
    closed = group(2)
    closed['authorization'] = [{'address': '192.0.2.0/24'}]
    server = Server(net, [group(1), closed])
    exchange = connect(net)
    register(exchange, 1)
    before = server.members('group-1')
    for what, call, said in _hostile_pulls(exchange):
        exchange.line.patience = 0.3 if said is None or '' in said else 8
        if said is None:  # what the RFC does not forbid: refused or not, it must do no harm
            try:
                call()
            except Broken:
                pass
        else:
            refused(check, what, call, said)
        exchange.line.patience = 8
        accepted(check, f'{what}: and then a good one', lambda: register(exchange, 1))
    refused(check, 'who is not authorized', lambda: register(exchange, 2),
            ['INVALID-ID-INFORMATION', 'AUTHENTICATION-FAILED'])
    check('who is not authorized is no member', server.members('group-2') == [])
    now = server.members('group-1')
    check('the members are the same', [one['identity'] for one in now]
          == [one['identity'] for one in before], now)
    accepted(check, 'another member', lambda: register(connect(net), 1))


# --- GROUPKEY-PUSH ------------------------------------------------------------------------------


class Rekeys:
    """A registered member that waits for PUSHes."""

    def __init__(self, net, name, line=None, exchange=None):
        self.exchange = exchange or connect(net)
        self.pull = register(self.exchange, name)
        self.state = member.Rekeyed(self.pull)
        self.line = line or self.exchange.line
        self.address = self.exchange.address

    def next(self, seconds=8, acknowledge=True, **how):
        spi = self.state.kek['spi']
        datagram = self.line.receive(lambda header: header.cookies == spi, seconds, 'PUSH')
        under = dict(self.state.kek)
        self.came_from = self.line.peer_seen
        push = self.state.read(datagram)
        push['datagram'] = datagram
        if acknowledge:
            self.last_ack = policy.acknowledgement(under, push['sequence'], self.address, **how)
            self.line.sock.sendto(self.last_ack, self.came_from)
        return push


def _acks(server, name):
    return {one['identity']: (one['acks_received'], one['last_sequence_acknowledged'])
            for one in server.members(name)}


def push(lab, check):
    net = bench.Net(lab)
    server = Server(net, [group(1, 'aes-256-cbc-hmac-sha256',
                                rekey={'retransmit_interval': '2s'}),
                          group(2, rekey={'signing_key': 'sign256'}),
                          group(3, rekey={'signing_key': 'sign384', 'acknowledge': False}),
                          group(4, rekey={'hash': 'sha512', 'encryption': 'aes-128'})])
    gm = Rekeys(net, 1)
    check('acknowledgements are asked for, by SHA-256', gm.state.ack_kind == 1)
    server.rekey('group-1')
    one = gm.next(length=512)
    check('a PUSH with new TEKs, SEQ 1', one['sequence'] == 1 and len(one['policy']['teks']) == 2,
          one)
    wait_for(lambda: _acks(server, 'group-1')[gm.address] == (1, 1), 5, 'acknowledgement')
    gm.line.sock.sendto(gm.last_ack, gm.came_from)
    server.rekey('group-1')
    two = gm.next(length=256)
    wait_for(lambda: _acks(server, 'group-1')[gm.address] == (2, 2), 5, 'second acknowledgement')
    check('SEQ counts; L of 512 and of 256 bits are taken, a copy is not counted',
          two['sequence'] == 2)
    server.rekey('group-1')
    gm.next(spoil=True)
    again = gm.next(acknowledge=False)
    check('an acknowledgement with a wrong HASH is none: the rekey comes again with a new SEQ',
          again['sequence'] == 4 and _acks(server, 'group-1')[gm.address] == (2, 2), again)
    third = gm.next()
    check('and again, until it is acknowledged', third['sequence'] == 5)
    old = gm.state.kek
    server.rekey('group-1', kek=True)
    over = gm.next()
    check('a KEK rollover comes under the old KEK, with a new SPI and key',
          gm.state.kek['spi'] != old['spi'] and gm.state.kek['key'] != old['key'], over)
    wait_for(lambda: _acks(server, 'group-1')[gm.address][0] == 4, 5, 'acknowledgement of it')
    server.rekey('group-1')
    check('the first PUSH under the new KEK has SEQ 1', gm.next()['sequence'] == 1)
    line, address = net.line(port=40848)
    elsewhere = Rekeys(net, 1, exchange=phase1.initiate(line, IDENTITY, address, PHASE1[0]))
    server.rekey('group-1')
    check('who registered from another port gets its PUSH there', elsewhere.next()['sequence'] == 2)
    gm.next()
    late = Rekeys(net, 1, exchange=connect(net))
    check('who registers now gets the SEQ of now and the new KEK',
          late.state.sequence >= 2 and late.state.kek['spi'] == gm.state.kek['spi'])
    for name, what in ((2, 'ECDSA-256'), (3, 'ECDSA-384, no acknowledgements'),
                       (4, 'RSA with SHA-512, KEK of 128 bits')):
        other = Rekeys(net, name)
        server.rekey(f'group-{name}')
        check(what, other.next(acknowledge=name != 3)['policy']['teks'])
        check(f'{what}: as asked', (other.state.ack_kind is None) == (name == 3))


def push_deletes(lab, check):
    """A member is removed: every key is deleted, by both deletes of RFC 6407 section 5.9."""
    net = bench.Net(lab)
    server = Server(net, [group(1, 'aes-128-cbc-hmac-sha1')])
    gone, stays = Rekeys(net, 1), Rekeys(net, 1)
    stays.state.sequence = max(stays.state.sequence, 0)
    identity = {one['identity']: one['id'] for one in server.members('group-1')}[gone.address]
    before = {tek['spi'] for tek in stays.pull.policy['teks']}
    server.daemon.ask('ks members remove', group='group-1', member=identity)
    deletes = []
    while not deletes:
        deletes = stays.next()['deletes']
    check('all TEKs, then the KEK, are deleted', deletes[-1][0] == 0
          and {protocol for protocol, _ in deletes[:-1]} == {1}, deletes)
    fresh = register(connect(net), 1)
    check('who registers now gets other keys',
          not before & {tek['spi'] for tek in fresh.policy['teks']})
    refused(check, 'the removed one is refused', lambda: register(gone.exchange, 1),
            ['INVALID-ID-INFORMATION', 'AUTHENTICATION-FAILED', 'DELETE'])


def push_multicast(lab, check):
    """One datagram for all; and TEKs that end are replaced without anybody's word."""
    net = bench.Net(lab)
    net.ours.ip(f'route add {MULTICAST}/32 dev up0')
    Server(net, [group(1, 'soon', rekey={'transport': 'multicast',
                                         'multicast_destination': MULTICAST},
                       activation_delay='1s', deactivation_delay='2s')])
    sock = bench.udp(net.peer, MULTICAST)
    bench.join(sock, MULTICAST, '10.78.1.1')
    gm = Rekeys(net, 1, line=phase1.Line(sock, (OURS, 848)))
    check('SAK names the multicast address and port',
          gm.state.kek['destination'] == (bench.network(MULTICAST), 848), gm.state.kek)
    known = {tek['spi'] for tek in gm.pull.policy['teks']}
    for turn in (1, 2):
        push_ = gm.next(seconds=15, acknowledge=False)
        while not push_['policy'] or known >= {tek['spi'] for tek in push_['policy']['teks']}:
            push_ = gm.next(seconds=15, acknowledge=False)
        known |= {tek['spi'] for tek in push_['policy']['teks']}
        check(f'TEKs before the end of the old ones, turn {turn}',
              all(0 < tek[policy.LIFE] <= 10 for tek in push_['policy']['teks']), push_)


def ipv6(lab, check):
    """Registration, rekey and acknowledgement over IPv6."""
    net = bench.Net(lab)
    server = Server(net, [group(1)], address=bench.OURS6)
    gm = Rekeys(net, 1, exchange=connect(net, address=net.address6()))
    check('registered', gm.pull.policy['teks'])
    check('SAK names IPv6 addresses', gm.state.kek['source'][0] == bench.network(bench.OURS6)
          and gm.state.kek['destination'][0] == bench.network(gm.address), gm.state.kek)
    server.rekey('group-1')
    check('a PUSH', gm.next()['policy']['teks'])
    wait_for(lambda: _acks(server, 'group-1')[gm.address] == (1, 1), 5, 'acknowledgement')
    check('and its acknowledgement', True)


if __name__ == '__main__':
    scenario.run(globals()[sys.argv[1]])
