"""SCEP messages (RFC 8894) octet by octet: ASN.1 in DER and BER, CMS SignedData and EnvelopedData.

Made from the RFCs with nothing but arithmetic of python3-cryptography, so that every choice that a
client has can be made here.
"""
import hashlib
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

DATA, SIGNED, ENVELOPED = '1.2.840.113549.1.7.1', '1.2.840.113549.1.7.2', '1.2.840.113549.1.7.3'
RSA = '1.2.840.113549.1.1.1'
HASHES = {'sha1': ('1.3.14.3.2.26', '1.2.840.113549.1.1.5', hashes.SHA1()),
          'sha256': ('2.16.840.1.101.3.4.2.1', '1.2.840.113549.1.1.11', hashes.SHA256()),
          'sha512': ('2.16.840.1.101.3.4.2.3', '1.2.840.113549.1.1.13', hashes.SHA512())}
CIPHERS = {'aes128': ('2.16.840.1.101.3.4.1.2', 16), 'aes192': ('2.16.840.1.101.3.4.1.22', 24),
           'aes256': ('2.16.840.1.101.3.4.1.42', 32), '3des': ('1.2.840.113549.3.7', 24)}
SCEP = '2.16.840.1.113733.1.9.'
MESSAGE_TYPE, STATUS, FAIL_INFO, SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION = (
    SCEP + one for one in '2 3 4 5 6 7'.split())
CERT_REP, RENEWAL, PKCS_REQ, CERT_POLL, GET_CERT, GET_CRL = '3', '17', '19', '20', '21', '22'


# --- ASN.1 --------------------------------------------------------------------------------------


def tlv(tag, *parts):
    body = b''.join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, 'big')
    return bytes([tag, 0x80 | len(size)]) + size + body


def seq(*parts):
    return tlv(0x30, *parts)


def set_of(*parts):
    return tlv(0x31, *sorted(parts))


def oid(text):
    first, second, *rest = map(int, text.split('.'))
    out = bytes([first * 40 + second])
    for arc in rest:
        digits = [arc & 127]
        while arc := arc >> 7:
            digits.insert(0, 128 | arc & 127)
        out += bytes(digits)
    return tlv(6, out)


def integer(value):
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, 'big'))


def octets(value):
    return tlv(4, value)


def printable(text):
    return tlv(0x13, text.encode())


NULL = b'\5\0'


def algorithm(name, parameters=NULL):
    return seq(oid(name), parameters)


class Node:
    """One element of a parsed encoding."""

    def __init__(self, data, at=0):
        self.at, self.tag = at, data[at]
        size, head = data[at + 1], 2
        if size & 0x80:
            head += size & 0x7f
            size = int.from_bytes(data[at + 2:at + head], 'big')
        self.body = data[at + head:at + head + size]
        self.end = at + head + size
        assert len(self.body) == size, 'an element is longer than what holds it'
        self.raw = data[at:self.end]

    def __iter__(self):
        at = 0
        while at < len(self.body):
            one = Node(self.body, at)
            yield one
            at = one.end

    def __getitem__(self, number):
        return list(self)[number]


def to_ber(data):
    """The same in BER: indefinite lengths, strings in pieces (X.690 8.1.3.6, 8.7.3)."""
    node = Node(data)
    end = b'\0\0'
    if node.tag == 4:
        pieces = [octets(node.body[at:at + 100]) for at in range(0, len(node.body), 100)]
        return b'\x24\x80' + b''.join(pieces) + end
    if node.tag == 0x80:  # the encrypted content: an implicit OCTET STRING
        pieces = [octets(node.body[at:at + 77]) for at in range(0, len(node.body), 77)]
        return b'\xa0\x80' + b''.join(pieces) + end
    if node.tag & 0x20:
        return bytes([node.tag, 0x80]) + b''.join(to_ber(one.raw) for one in node) + end
    return data


def signed_data_to_ber(data):
    """BER for all but what is signed as DER: certificates and signed attributes."""
    outer = Node(data)
    signed = outer[1][0]
    parts = []
    for one in signed:
        if one.tag == 0xa0:
            parts.append(one.raw)
        elif one.tag == 0x31 and list(one) and one[0][0].tag == 2:  # SignerInfos
            parts.append(one.raw)
        else:
            parts.append(to_ber(one.raw))
    inner = b'\x30\x80' + b''.join(parts) + b'\0\0'
    return b'\x30\x80' + outer[0].raw + b'\xa0\x80' + inner + b'\0\0' + b'\0\0'


# --- CMS ----------------------------------------------------------------------------------------


def issuer_and_serial(certificate):
    return seq(certificate.issuer.public_bytes(), integer(certificate.serial_number))


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def envelope(content, recipient, cipher='aes128', ber=False):
    name, size = CIPHERS[cipher]
    key = os.urandom(size)
    block = 8 if cipher == '3des' else 16
    iv = os.urandom(block)
    pad = block - len(content) % block
    kind = algorithms.TripleDES if cipher == '3des' else algorithms.AES
    work = Cipher(kind(key), modes.CBC(iv)).encryptor()
    sealed = work.update(content + bytes([pad]) * pad) + work.finalize()
    wrapped = recipient.public_key().encrypt(key, padding.PKCS1v15())
    data = seq(integer(0), set_of(seq(integer(0), issuer_and_serial(recipient), algorithm(RSA),
                                      octets(wrapped))),
               seq(oid(DATA), seq(oid(name), octets(iv)), tlv(0x80, sealed)))
    whole = seq(oid(ENVELOPED), tlv(0xa0, data))
    return to_ber(whole) if ber else whole


def open_envelope(data, key):
    content = Node(data)
    enveloped = content[1][0]
    recipient = enveloped[1][0]
    secret = key.decrypt(recipient[3].body, padding.PKCS1v15())
    info = enveloped[2]
    iv, sealed = info[1][1].body, info[2].body
    kind = algorithms.TripleDES if len(iv) == 8 else algorithms.AES
    work = Cipher(kind(secret), modes.CBC(iv)).decryptor()
    clear = work.update(sealed) + work.finalize()
    return clear[:-clear[-1]]


def attribute(name, value):
    return seq(oid(name), set_of(value))


def sign(content, attributes, certificate, key, digest='sha256', named='rsa', ber=False,
         spoil=False, chain=()):
    """SignedData over content (or None) with SCEP's attributes; named: how SignerInfo calls the
    signature's algorithm, 'rsa' or with the hash."""
    hash_oid, with_rsa, algorithm_hash = HASHES[digest]
    value = hashlib.new(digest, content or b'').digest()
    signed = set_of(attribute('1.2.840.113549.1.9.3', oid(DATA)),
                    attribute('1.2.840.113549.1.9.4', octets(value)), *attributes)
    signature = key.sign(signed, padding.PKCS1v15(), algorithm_hash)
    if spoil:
        signature = bytes(len(signature))
    signer = seq(integer(1), issuer_and_serial(certificate), algorithm(hash_oid),
                 b'\xa0' + signed[1:], algorithm(RSA if named == 'rsa' else with_rsa),
                 octets(signature))
    certificates = [der(one) for one in (certificate, *chain)]
    inner = [oid(DATA)] + ([tlv(0xa0, octets(content))] if content is not None else [])
    data = seq(integer(1), set_of(algorithm(hash_oid)), seq(*inner),
               tlv(0xa0, *certificates), set_of(signer))
    whole = seq(oid(SIGNED), tlv(0xa0, data))
    return signed_data_to_ber(whole) if ber else whole


class Reply:
    """A CertRep whose signature was verified with the authority's certificate."""

    def __init__(self, data, authority):
        signed = Node(data)[1][0]
        parts = list(signed)
        content = parts[2]
        self.content = content[1][0].body if len(list(content)) > 1 else b''
        signer = parts[-1][0]
        attributes = next(one for one in signer if one.tag == 0xa0)
        name = signer[2][0].raw
        digest = next(key for key, row in HASHES.items() if oid(row[0]) == name)
        authority.public_key().verify(signer[5].body, b'\x31' + attributes.raw[1:],
                                      padding.PKCS1v15(), HASHES[digest][2])
        self.attributes = {}
        for one in attributes:
            self.attributes[one[0].raw] = one[1][0].body
        assert self.attributes[oid('1.2.840.113549.1.9.4')] == hashlib.new(
            digest, self.content).digest(), 'messageDigest'
        self.digest = digest
        assert self.get(MESSAGE_TYPE) == CERT_REP.encode(), 'messageType'

    def get(self, name):
        return self.attributes.get(oid(name))

    @property
    def status(self):
        return (self.get(STATUS) or b'').decode()

    @property
    def fail_info(self):
        return (self.get(FAIL_INFO) or b'').decode()

    def certificates(self, key):
        """What is in the certs-only SignedData of a successful answer."""
        signed = Node(open_envelope(self.content, key))[1][0]
        field = next(one for one in signed if one.tag == 0xa0)
        return [x509.load_der_x509_certificate(one.raw) for one in field]

    def revocation_list(self, key):
        signed = Node(open_envelope(self.content, key))[1][0]
        field = next(one for one in signed if one.tag == 0xa1)
        return x509.load_der_x509_crl(field[0].raw)


class Asked:
    """A client's message, whose signature was verified with the certificate that it brings."""

    def __init__(self, data):
        signed = Node(data)[1][0]
        parts = list(signed)
        self.content = parts[2][1][0].body
        self.signer = x509.load_der_x509_certificate(next(
            one for one in parts if one.tag == 0xa0)[0].raw)
        signer = parts[-1][0]
        attributes = next(one for one in signer if one.tag == 0xa0)
        name = signer[2][0].raw
        digest = next(key for key, row in HASHES.items() if oid(row[0]) == name)
        self.signer.public_key().verify(signer[5].body, b'\x31' + attributes.raw[1:],
                                        padding.PKCS1v15(), HASHES[digest][2])
        self.attributes = {one[0].raw: one[1][0].body for one in attributes}
        assert self.attributes[oid('1.2.840.113549.1.9.4')] == hashlib.new(
            digest, self.content).digest(), 'messageDigest'

    def get(self, name):
        return self.attributes.get(oid(name))


def certs_only(certificates):
    """A degenerate SignedData."""
    return seq(oid(SIGNED), tlv(0xa0, seq(integer(1), set_of(), seq(oid(DATA)),
                                          tlv(0xa0, *certificates), set_of())))
