#!/usr/bin/python3
"""Our group member against a key server that was written from the RFCs alone.

usage: as_key_server.py SCENARIO      with COHORT_BUILD set; needs root (or sudo -n)
"""
import logging
import os
import struct
import sys

logging.getLogger('scapy.runtime').setLevel(logging.ERROR)
# pylint: disable=wrong-import-position
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402
import bench  # noqa: E402
import groups  # noqa: E402
import key_server  # noqa: E402
import member  # noqa: E402
import phase1  # noqa: E402
import policy  # noqa: E402
import wire  # noqa: E402
from bench import OURS, PSK, policy_of, wait_for  # noqa: E402
from groups import (CBC, GCM, GROUP, MULTICAST, SERVER, new_group,  # noqa: E402
                    teks_of)
from policy import Kek, Tek  # noqa: E402
from wire import Broken  # noqa: E402

from lab import scenario  # noqa: E402  of tests/e2e; bench has put it on the path

SCAPY = {None: ('AES-GCM', None), 'sha1': ('AES-CBC', 'HMAC-SHA1-96'),
         'sha256': ('AES-CBC', 'SHA2-256-128'), 'sha384': ('AES-CBC', 'SHA2-384-192'),
         'sha512': ('AES-CBC', 'SHA2-512-256')}


def suite_of(exchange_offer):
    """Takes the first transform that is offered."""
    offered = exchange_offer[0]
    number = {kind: wire.number_of(value) for kind, value in offered.items()}
    return 0, phase1.Suite(number[phase1.METHOD], number[phase1.KEY_LENGTH], number[phase1.HASH],
                           number[phase1.GROUP])


class Site:
    """cohortd as a member, its key server being us, and both of its cables."""

    def __init__(self, lab, phase1_policies=None, identity=None, authority=None, key='rsa',
                 above=()):
        self.net = bench.Net(lab)
        ours, peer = self.net.ours, self.net.peer
        for name in ('in', 'out'):
            lab.link(ours, name, peer, name)
        # Nobody but the test is to send on the cables.
        for node in (ours, peer):
            for name in ('in', 'out'):
                node.sysctl(**{f'net__ipv6__conf__{name}__disable_ipv6': 1})
        out = bench.common(ours, 'gm', phase1_policies or [policy_of()], authority, key)
        out['group_member'] = {
            'address': OURS, 'multicast': [MULTICAST],
            'groups': [{'name': 'g', 'identity': GROUP, 'servers': [SERVER], 'port_pair': 'wan',
                        'retry_initial': '1s', 'retry_max': '1s', 'acknowledge_jitter': '0s'}],
            **({'trustpoint': 'LAB'} if authority else {})}
        out['dataplane'] = {
            'hugepages': False, 'memory_mb': 128, 'file_prefix': lab.name,
            'port_pairs': {'wan': {'inside': 'net_af_packet0,iface=in',
                                   'outside': 'net_af_packet1,iface=out'}}}
        line = phase1.Line(bench.udp(peer, SERVER), (OURS, 848))
        self.line = line
        self.server = key_server.Registrar(line, SERVER,
                                           identity or phase1.Identity(psk=PSK.encode()))
        self.inside, self.outside = bench.cable(peer, 'in'), bench.cable(peer, 'out')
        self.daemon = bench.daemons.Member(ours, out)
        bench.daemons.Daemon.start(self.daemon)
        if authority:
            bench.certify(self.daemon, authority, above)
        self.counter = 0

    def phase1(self, choose=suite_of, **how):
        return self.server.phase1(choose, **how)

    def again(self):
        """Makes the member register anew, from phase 1 on."""
        self.line.drain()
        self.daemon.ask('gm register', group='g')

    def serve(self, group, exchange=None, **how):
        """One registration; returns the member's GAP."""
        own = exchange is None
        exchange = exchange or self.phase1()
        rows, packets = how.pop('rows', None), how.pop('packets', None)
        asked = self.server.pull(exchange, member.group_id(GROUP), rows or group.rows(),
                                 packets or group.packets(),
                                 sequence=how.pop('sequence', 0 if group.kek else None), **how)
        if own:
            self.server.close(exchange)
        return asked

    def spis(self):
        return {tek['spi'] for tek in self.daemon.group()['teks']}

    def holds(self, group, seconds=8):
        """Waits until the member has the group's SPIs."""
        wanted = {int.from_bytes(tek.spi, 'big') for tek in group.teks}
        wait_for(lambda: wanted <= {spi_number(spi) for spi in self.spis()}, seconds,
                 f'SPIs of the policy: {self.spis()}')
        return True

    def crosses(self, teks, source='10.0.0.7', destination='10.1.0.9', seconds=8):
        """A clear packet goes in; the ESP packet that comes out, opened by scapy with the key of
        teks[0], must be that packet under its own addresses; this is repeated until the member's
        new policy stands. Then one that scapy sealed with teks[-1] comes in."""
        tek = teks[0]
        self.counter += 1
        header = IPv6 if ':' in source else IP
        mark = b'a packet longer than the shortest frame' + struct.pack('>I', self.counter)
        clear = header(src=source, dst=destination) / UDP(sport=4000, dport=5000) / mark
        clear = header(bytes(clear))
        kind = 0x86dd if header is IPv6 else 0x0800
        self.last_iv = None

        def out():
            self.inside.send(bench.ethernet(kind, bytes(clear)))
            frame = bench.frames(self.outside, 0.5, lambda one: _is_esp(one, kind, tek.spi))
            if frame is None:
                return None
            outer = header(frame[14:])
            self.last_iv = bytes(outer[ESP].data)[:8]
            assert (outer.src, outer.dst) == (clear.src, clear.dst), 'the addresses'
            return bytes(sa_of(tek, source, destination).decrypt(outer)) == bytes(clear)
        done = wait_for(out, seconds, f'ESP with SPI {tek.spi.hex()}')
        back = header(bytes(header(src=destination, dst=source)
                            / UDP(sport=5000, dport=4000) / mark))
        sealed = sa_of(teks[-1], destination, source).encrypt(back, seq_num=1000 + self.counter)
        self.outside.send(bench.ethernet(kind, bytes(sealed)))
        seen = bench.frames(self.inside, 3, lambda one: one[12:14] == struct.pack('>H', kind))
        return bool(done and seen and seen[14:] == bytes(back))


def spi_number(text):
    return text if isinstance(text, int) else int(str(text), 16)


def _is_esp(frame, kind, spi):
    if frame[12:14] != struct.pack('>H', kind):
        return False
    at, protocol = (34, 23) if kind == 0x0800 else (54, 20)
    return frame[protocol] == 50 and frame[at:at + 4] == spi


def sa_of(tek, source, destination):
    crypt, auth = SCAPY[tek.suite.integrity]
    header = IPv6(src=source, dst=destination) if ':' in source else IP(src=source, dst=destination)
    return SecurityAssociation(ESP, spi=wire.number_of(tek.spi), crypt_algo=crypt,
                               crypt_key=tek.key, auth_algo=auth, auth_key=tek.integrity,
                               tunnel_header=header)


# --- scenarios ----------------------------------------------------------------------------------


def suites(lab, check):
    """Every suite: keys that we gave, packets that scapy opens and seals."""
    site = Site(lab)
    for number, suite in enumerate(policy.SUITES):
        group = new_group(suite, kek=number % 2 == 0)
        if number:
            site.again()
        site.serve(group)
        check(suite.name, site.holds(group) and site.crosses(group.teks))


def sender_ids(lab, check):
    """Each sender's counter field begins with the sender id that we lent (RFC 6054)."""
    site, first = Site(lab), True
    for bits, values, octets in ((16, [0x1234], 2), (12, [0xabc], 2), (8, [0x5a], 1),
                                 (16, [7], 4), (12, [0x100, 0x101], 4), (8, [9, 10, 11], 2)):
        group = new_group(GCM)
        group.sids = (bits, values, octets)
        if not first:
            site.again()
        first = False
        asked = site.serve(group)
        site.holds(group)
        crossed = site.crosses(group.teks)
        sid = wire.number_of(site.last_iv) >> (64 - bits)
        check(f'sender ids of {bits} bits in {octets} octets', crossed and sid in values,
              (hex(sid), asked))


def phase1_forms(lab, check):
    """The member calls; we answer as the RFCs allow."""
    several = [policy_of(256, 'sha256', 19), policy_of(192, 'sha384', 20), policy_of(128)]
    site = Site(lab, several)
    group = new_group()

    def pick(number):
        return lambda offered: (number, suite_of([offered[number]])[1])
    for number, (what, how) in enumerate((
            ('the first transform of three', {'choose': pick(0)}),
            ('the second one', {'choose': pick(1)}), ('the third one', {'choose': pick(2)}),
            ('DOI 1 and Situation 1 in the answer', {'doi': 1, 'situation': 1}),
            ('RESERVED fields that are not zero', {'reserved': 0xa5}),
            ('vendor ids', {'vendors': [os.urandom(16), b'', bytes(300)]}))):
        if number:
            site.again()
        exchange = site.phase1(**how)
        site.serve(group, exchange)
        check(what, site.holds(group))
        site.server.close(exchange)
        group = new_group()


def _signatures(lab, check, kind, method):
    names = {phase1.RSA: 'rsa-sig', phase1.ECDSA256: 'ecdsa-256-sig',
             phase1.ECDSA384: 'ecdsa-384-sig'}
    root = bench.Authority('root', kind)
    middle = bench.Authority('middle', kind, root)
    ours = middle.identity('ks', 'GETVPN_KS', kind, above=[middle.certificate])
    site = Site(lab, [policy_of(256, 'sha384', 19, names[method])], ours, middle, kind,
                [middle.certificate])
    for number, (what, how) in enumerate((
            ('CERTREQ empty', {}), ('CERTREQ of the root', {'certreqs':
                                                            [root.subject.public_bytes()]}),
            ('CERTREQ of another', {'certreqs': [bench.name('x').public_bytes()]}),
            ('no CERTREQ', {'certreqs': []}))):
        group = new_group(GCM)
        if number:
            site.again()
        exchange = site.phase1(**how)
        site.serve(group, exchange)
        check(f'{names[method]}, {what}', site.holds(group))
        check(f'{names[method]}, {what}: its chain is whole', len(exchange.peer_chain) >= 2)
        site.server.close(exchange)


def phase1_rsa(lab, check):
    _signatures(lab, check, 'rsa', phase1.RSA)


def phase1_ecdsa(lab, check):
    _signatures(lab, check, 'p256', phase1.ECDSA256)


def phase1_ecdsa384(lab, check):
    _signatures(lab, check, 'p384', phase1.ECDSA384)


def policies(lab, check):
    site, first = Site(lab), True
    for what, group, how in groups.forms():
        if not first:
            site.again()
        first = False
        try:
            site.serve(group, **how)
            check(what, site.holds(group, 4))
            if how.get('sequence', 0) is None:
                check(f'{what}: the member says what that costs',
                      site.daemon.events('GM_NO_SEQ'))
            if 'no subnet' in what:
                check(f'{what}: its prefixes are protected', site.crosses(group.teks))
        except (Broken, bench.LabError) as error:
            check(what, False, error)


def refusals(lab, check):
    """Nothing of a bad policy is installed, what was there stays, and a good one still works."""
    site = Site(lab)
    group = new_group()
    site.serve(group)
    site.holds(group)
    for what, _, how in groups.bad():
        before = site.spis()
        site.again()
        exchange = site.phase1()
        try:
            site.serve(new_group(), exchange, seconds=0.7, **how)
            said = 'nothing'
        except Broken as broken:
            said = broken
        site.line.drain()
        check(f'{what}: nothing of it is taken', site.spis() == before, said)
        site.server.close(exchange)
        site.again()
        group = new_group()
        try:
            site.serve(group)
            check(f'{what}: and then a good one', site.holds(group))
        except (Broken, bench.LabError) as error:
            check(f'{what}: and then a good one', False, error)
    check('and traffic crosses', site.crosses(group.teks))


def directions(lab, check):
    """SA Direction: an SA to receive only is not sent on, one to send only is not received on.
    Traffic of 10.1/16 goes out on the other, symmetric SA; its answer comes on this one."""
    site, first = Site(lab), True
    for what, value, sends in (('Receiver-Only', 2, False), ('Sender-Only', 1, True),
                               ('Symmetric', 3, True)):
        group = new_group()
        out, back = group.teks
        attributes = out.attributes(short=True) + wire.basic(policy.DIRECTION, value)
        if not first:
            site.again()
        first = False
        site.serve(group, rows=[group.rows()[0], (wire.SAT, groups.sat_of(out, None, attributes)),
                                group.rows()[-1]])
        site.holds(group)
        sending = {spi_number(tek['spi']) for tek in site.daemon.group()['teks'] if tek['sending']}
        check(f'{what}: sends' if sends else f'{what}: does not send',
              (int.from_bytes(out.spi, 'big') in sending) == sends, sending)
        # What works shows that the policy stands: then what does not work can be told from it.
        received = site.crosses([back, out], '10.1.0.9', '10.0.0.7')
        check(f'{what}: receives' if value != 1 else f'{what}: does not receive',
              received == (value != 1))


# --- GROUPKEY-PUSH ------------------------------------------------------------------------------


class Rekeyed:
    """A registered member that we send PUSHes to."""

    def __init__(self, site, group, to=OURS, ack=1):
        self.site, self.group, self.to, self.ack_kind = site, group, to, ack
        site.serve(group)
        site.holds(group)

    def send(self, datagram):
        self.site.line.sock.sendto(datagram, (self.to, 848))

    def acknowledged(self, kek=None, seconds=6):
        """SEQ of the acknowledgement that comes, verified."""
        kek = kek or self.group.kek
        datagram = self.site.line.receive(
            lambda header: header.exchange == wire.PUSH_ACK and header.cookies == kek.spi, seconds,
            'acknowledgement')
        return key_server.read_ack(datagram, kek, OURS, self.ack_kind)

    def push(self, payloads, **how):
        """Sends a PUSH that must be taken and acknowledged."""
        kek = how.get('kek') or self.group.kek
        datagram = self.group.push(payloads, **how)
        self.send(datagram)
        return self.acknowledged(kek) == self.group.sequence, datagram

    def renewed(self, **how):
        """New TEKs by PUSH; whether they are taken."""
        teks = teks_of(self.group.teks[0].suite)
        done, self.last = self.push(self.group.update(teks), **how)
        self.group.teks = teks
        return done and self.site.holds(self.group)

    def unmoved(self, datagram):
        """Sends what must not be taken: no SPI changes, and the next good PUSH still works."""
        before = self.site.spis()
        self.send(datagram)
        self.group.sequence += 5  # whoever signed it may have spent its SEQ
        good = self.renewed()
        lost = {tek.spi.hex() for tek in self.refused_teks}
        now = self.site.spis()
        taken = lost & {f'{spi_number(spi):08x}' for spi in now}
        return good and not taken and before <= now

    refused_teks = ()


def pushes(lab, check):
    site = Site(lab)
    group = new_group(gap=wire.basic(1, 0) + wire.basic(2, 1))
    rekeyed = Rekeyed(site, group)
    check('new TEKs, acknowledged', rekeyed.renewed())
    check('traffic crosses with them', site.crosses(group.teks))
    check('the signed Length is the sent one', rekeyed.renewed(padded=True))
    check('the bare digest signed', rekeyed.renewed(bare=True))
    check('RESERVED fields that are not zero', rekeyed.renewed(reserved=0x33))
    group.sequence += 1000
    check('SEQ may leap', rekeyed.renewed())
    again = rekeyed.last
    count = site.daemon.group()['rekeys']['received']
    rekeyed.send(again)
    check('a copy of the last one is acknowledged again, if anything', _quiet(rekeyed) in
          (None, group.sequence) and site.daemon.group()['rekeys']['received'] == count)
    group.teks = [Tek(policy.SUITES[at % 15], f'10.{at}.0.0/16', '10.200.0.0/16')
                  for at in range(1, 13, 2)] + teks_of(CBC)
    group.teks = [tek for tek in group.teks if not tek.suite.gcm]
    check('larger than a packet: many TEKs', rekeyed.push(group.update(group.teks))[0]
          and site.holds(group))
    old, new = group.kek, Kek(SERVER, OURS, bits=256, ack=1)
    group.sequence += 1
    rekeyed.send(group.push(group.update(teks_of(CBC), new), sequence=group.sequence))
    check('a new KEK comes under the old one, which acknowledges',
          rekeyed.acknowledged(old) == group.sequence)
    group.kek, group.sequence, group.teks = new, 0, teks_of(CBC)
    check('then SEQ begins with 1', rekeyed.push(group.update(group.teks))[0]
          and site.holds(group))
    check('the old KEK is of no use any more', _quiet(rekeyed, group.push(
        group.update(teks_of(CBC)), kek=old, sequence=group.sequence + 5), old) is None)
    check('and all is well', rekeyed.renewed() and site.crosses(group.teks))


def _quiet(rekeyed, datagram=None, kek=None):
    """What is acknowledged within a second, or None."""
    if datagram:
        rekeyed.send(datagram)
    try:
        return rekeyed.acknowledged(kek, 1)
    except phase1.Silence:
        return None


def push_refusals(lab, check):
    """Each changes nothing; the good PUSH after it works."""
    site = Site(lab)
    group = new_group()
    rekeyed = Rekeyed(site, group)
    rekeyed.renewed()
    earlier = rekeyed.last
    rekeyed.renewed()

    def bad(payloads=None, **how):
        rekeyed.refused_teks = teks_of(CBC)
        update = group.update(rekeyed.refused_teks)
        how.setdefault('sequence', group.sequence + 3)
        return group.push(payloads(update) if payloads else update, **how)
    unknown = wire.basic(77, 1)
    other = Kek(SERVER, OURS, ack=1)

    def sat_with(extra):
        def payloads(_):
            one = rekeyed.refused_teks[0]
            return [(wire.SA, policy.sa_body([(wire.SAT, one.sat(extra=extra))])),
                    (wire.KD, policy.kd_body([one.packet()]))]
        return payloads

    def kd_with(packet):
        def payloads(update):
            packets = [tek.packet() for tek in rekeyed.refused_teks] + [packet]
            return [update[0], (wire.KD, policy.kd_body(packets))]
        return payloads
    cases = {
        'an earlier one': lambda: earlier, 'SEQ of the last one': lambda: bad(
            sequence=group.sequence),
        'SEQ 0': lambda: bad(sequence=0), 'a wrong signature': lambda: bad(spoil=True),
        'unknown cookies': lambda: bad(kek=other),
        'a Message ID': lambda: bad(number=7), 'no encryption flag': lambda: bad(flags=0),
        'the Commit bit': lambda: bad(flags=3),
        'an unknown payload': lambda: bad(lambda update: [*update, (99, bytes(4))]),
        'no KD': lambda: bad(lambda update: update[:1]),
        'KD before SA': lambda: bad(lambda update: update[::-1]),
        'an unknown attribute in SAT': lambda: bad(sat_with(unknown)),
        'an unknown key packet': lambda: bad(kd_with(policy.key_packet(9, b'', b''))),
        'a sender id': lambda: bad(kd_with(policy.sid_packet(16, [3], 2))),
        'a Delete with DOI 1': lambda: bad(lambda update: [
            (wire.DELETE, b'\0\0\0\1' + policy.delete_body(1, [bytes(4)])[4:]), *update]),
        'a Delete of a wrong count': lambda: bad(lambda update: [
            (wire.DELETE, struct.pack('>IBBH', 2, 1, 4, 9) + bytes(4)), *update]),
        'half of it': lambda: bad()[:-64],
    }
    for what, make in cases.items():
        try:
            check(what, rekeyed.unmoved(make()), site.spis())
        except (Broken, bench.LabError) as error:
            check(what, False, error)
    refused = site.daemon.refusals()
    check('refusals have names', sum(refused.values()) >= len(cases), refused)


def push_deletes(lab, check):
    site = Site(lab)
    group = new_group()
    rekeyed = Rekeyed(site, group)
    gone, kept = group.teks
    check('one TEK is deleted', rekeyed.push([(wire.DELETE, policy.delete_body(1, [gone.spi]))])[0])
    wait_for(lambda: site.spis() and len(site.spis()) == 1, 8, 'deletion')
    check('the other one stays', {spi_number(spi) for spi in site.spis()}
          == {int.from_bytes(kept.spi, 'big')}, site.spis())
    check('both come anew', rekeyed.renewed())
    both = [(wire.DELETE, policy.delete_body(1, [bytes(4)])),
            (wire.DELETE, policy.delete_body(0, [bytes(16)], 16))]
    site.line.drain()
    check('everything is deleted, and that is acknowledged', rekeyed.push(both)[0])
    wait_for(lambda: not site.spis(), 8, 'end of all keys')
    group = new_group()
    site.serve(group)
    check('so it registers again', site.holds(group) and site.crosses(group.teks))
    rekeyed.group, group.sequence = group, 0
    rekeyed.push([(wire.DELETE, policy.delete_body(0, [group.kek.spi], 16))])
    fresh = new_group()
    site.serve(fresh)
    check('without its KEK it registers again', site.holds(fresh))


def push_multicast(lab, check):
    """TEKs that end without a PUSH make it register again; PUSHes to a multicast address."""
    site = Site(lab)
    ending = key_server.Group(teks_of(CBC, life=6))
    site.serve(ending)
    check('it has keys that end soon', site.holds(ending))
    site.net.peer.ip(f'route add {MULTICAST}/32 dev up0')
    group = key_server.Group(teks_of(CBC), Kek(SERVER, MULTICAST, ack=3, bits=256))
    rekeyed = Rekeyed(site, group, MULTICAST, ack=3)
    check('it registers again by itself', site.daemon.group()['registration']['succeeded'] == 2)
    check('new TEKs by multicast, acknowledged by SHA-512', rekeyed.renewed())
    check('traffic crosses', site.crosses(group.teks))


if __name__ == '__main__':
    scenario.run(globals()[sys.argv[1]])
