#!/usr/bin/python3
"""The peer itself, and the conversations of yet another implementation (tests/golden/data/gdoi):
what it cannot read there, it may not blame our programs for.

usage: recorded.py DATA_FOLDER
"""
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives import serialization

import policy
import wire
from wire import Broken, need

# Those of AES, ESP and tunnel mode; the others are 3DES and AH, which the peer does not speak.
SCENARIOS = ('psk-aes128-sha256-modp2048', 'rsa-aes128-sha256-modp2048')


def octets(text):
    return bytes.fromhex(text)


def phase1_keys(recorded, datagrams):
    """From the exponents, and through messages 5 and 6."""
    had = recorded['phase1']
    shared = pow(wire.number_of(octets(had['g_xr'])), wire.number_of(octets(had['x_i'])),
                 wire.modulus(14)).to_bytes(256, 'big')
    nonces = octets(had['ni']) + octets(had['nr'])
    skeyid = (wire.prf('sha256', had['psk'].encode(), nonces) if had['auth'] == 'psk'
              else wire.prf('sha256', nonces, shared))
    keys = wire.Keys('sha256', 128, skeyid, shared, octets(had['cky_i']) + octets(had['cky_r']))
    need(keys.a == octets(had['skeyid_a']) and keys.key == octets(had['cipher_key']), 'keys')
    sealed = wire.Sealed(keys, wire.digest_of('sha256', octets(had['g_xi']) + octets(had['g_xr']))
                         [:16])
    for datagram in datagrams[4:6]:
        found, _ = sealed.read(datagram)
        need(found[0][0] == wire.ID, 'ID is first')
    keys.last_block = sealed.iv
    return keys


def pull(keys, datagrams):
    """The policy with its keys, and the sender ids' key packets as they came."""
    number = wire.Header(datagrams[0]).number
    sealed, mid = wire.Sealed(keys, keys.exchange_iv(number)), struct.pack('>I', number)
    nonces, messages = b'', []
    for datagram in datagrams:
        found, clear = sealed.read(datagram)
        rest = clear[4 + len(found[0][1]):]
        need(found[0][1] == wire.prf(keys.digest, keys.a, mid + nonces + rest),
             f'HASH({len(messages) + 1})')
        nonces += b''.join(body for kind, body in found if kind == wire.NONCE)
        messages.append(dict(found))
    return policy.read_sa(messages[1][wire.SA]), messages[3][wire.KD], messages[3][wire.SEQ]


def without_sids(kd):
    """Its sender ids have the least significant octet first (a departure that is noted there)."""
    at, packets = 4, []
    while at < len(kd):
        size = struct.unpack_from('>H', kd, at + 2)[0]
        if kd[at] != policy.SID_PACKET:
            packets.append(kd[at:at + size])
        at += size
    return policy.kd_body(packets)


def push(kek, datagram):
    """SA and KD of a PUSH, its signature verified over the bare hash."""
    header = wire.Header(datagram)
    need(header.cookies == kek['spi'], 'cookies')
    clear = wire.cbc(kek['key'], kek['iv'], datagram[28:], False)
    found, size = wire.unchain(header.first, clear)
    signature = found[-1][1]
    signed = bytearray(datagram[:28])
    struct.pack_into('>I', signed, 24, 28 + size)
    value = wire.digest_of('sha256', b'rekey' + bytes(signed) + clear[:size - 4 - len(signature)])
    numbers = serialization.load_der_public_key(kek['public']).public_numbers()
    block = pow(wire.number_of(signature), numbers.e, numbers.n).to_bytes(256, 'big')
    need(block.endswith(b'\xff\0' + value), 'SIG')
    return found


def scenario(path):
    recorded = json.loads(path.read_text(encoding='utf-8'))
    datagrams = [octets(one['wire']) for one in recorded['datagrams']]
    keys = phase1_keys(recorded, datagrams)
    offered, kd, _ = pull(keys, datagrams[6:10])
    policy.read_kd(without_sids(kd), offered)
    teks = {tek['spi']: tek for tek in offered['teks']}
    kek = offered['kek']
    for had in recorded['push']:
        datagram = datagrams[had['datagram'] - 1]
        found = push(kek, datagram)
        need(struct.unpack('>I', found[0][1])[0] == had['seq'], 'SEQ')
        for kind, body in found:
            if kind != wire.SA:
                continue
            update = policy.read_sa(body)
            new = update['kek']
            keys_body = dict(found)[wire.KD]
            if new and new['spi'] != kek['spi'] and new['spi'] not in keys_body:
                # Its own way of a rollover: the key packet names the old SPI.
                keys_body = keys_body.replace(kek['spi'], new['spi'])
            policy.read_kd(keys_body, update, push=True)
            teks.update({tek['spi']: tek for tek in update['teks']})
            kek = new or kek
    for had in recorded['tek']:
        tek = teks[octets(had['spi'])]
        need(tek['key'] == octets(had['key']), 'TEK_ALGORITHM_KEY')
    print(f'{path.name}: {len(recorded["push"])} PUSHes, {len(teks)} TEKs')


if __name__ == '__main__':
    policy.BASIC_LIFETIME = True
    for name in SCENARIOS:
        try:
            scenario(pathlib.Path(sys.argv[1]) / f'{name}.json')
        except Broken as broken:
            sys.exit(f'{name}: {broken}')
