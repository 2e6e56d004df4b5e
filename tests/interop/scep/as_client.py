#!/usr/bin/python3
"""Our certificate authority, in cohortd as it ships, against SCEP requests of every make (cms.py).

usage: as_client.py SCENARIO      with COHORT_BUILD set; needs root (or sudo -n)
"""
import base64
import os
import pathlib
import socket
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'gdoi'))
# pylint: disable=wrong-import-position
import bench  # noqa: E402
import cms  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402
from cryptography.x509.oid import AttributeOID  # noqa: E402

from lab import scenario  # noqa: E402  of tests/e2e; bench has put it on the path

PORT, CHALLENGE = 8080, 'open sesame'
PATH = '/cgi-bin/pkiclient.exe'


class Http:
    """One connection, by hand: what is sent is what the test says."""

    def __init__(self, node, data=b'', source='127.0.0.1'):
        with bench.inside(node):
            self.sock = socket.create_connection(('127.0.0.1', PORT), 15, (source, 0))
        if data:
            self.sock.sendall(data)
        self.rest = b''

    def until(self, mark):
        while mark not in self.rest:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(f'the connection ended after {self.rest[:200]!r}')
            self.rest += more
        found, self.rest = self.rest.split(mark, 1)
        return found

    def exactly(self, size):
        while len(self.rest) < size:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(f'{len(self.rest)} of {size} octets')
            self.rest += more
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def answer(self, head=False):
        """(status, headers, body)"""
        lines = self.until(b'\r\n\r\n').decode('latin-1').split('\r\n')
        headers = {name.strip().lower(): value.strip() for name, _, value in
                   (line.partition(':') for line in lines[1:])}
        status = int(lines[0].split(' ')[1])
        if head or status == 100:
            return status, headers, b''
        if headers.get('transfer-encoding') == 'chunked':
            body = b''
            while size := int(self.until(b'\r\n'), 16):
                body += self.exactly(size)
                self.until(b'\r\n')
            self.until(b'\r\n')
            return status, headers, body
        if 'content-length' in headers:
            return status, headers, self.exactly(int(headers['content-length']))
        while more := self.sock.recv(65536):
            self.rest += more
        return status, headers, self.rest


class Authority:
    def __init__(self, lab, **options):
        self.node = lab.node('ca')
        self.daemon = bench.daemons.Daemon(self.node, {
            'hostname': 'ca', 'state_directory': str(self.node.folder / 'state'),
            'logging': {'level': 'debug', 'event_log': str(self.node.folder / 'events.json')},
            'admin': {'socket': str(self.node.folder / 'admin.sock')},
            'certificate_authority': {
                'name': 'interop-ca', 'listen': f'127.0.0.1:{PORT}', 'modulus': 2048,
                'issuer_name': 'CN=Interop CA,O=cohort interop', 'grant': 'auto',
                'duplicate_subject': 'grant', 'challenge_passwords': [CHALLENGE],
                'requests_per_second': 100000, 'requests_per_second_per_source': 100000,
                **options}}).start()
        self.certificate = x509.load_der_x509_certificate(self.get('GetCACert')[2])

    def raw(self, data, **how):
        return Http(self.node, data).answer(**how)

    def get(self, operation, message=None, version='1.1', path=PATH):
        query = f'?operation={operation}' + (f'&message={message}' if message is not None else '')
        return self.raw(f'GET {path}{query} HTTP/{version}\r\nHost: ca\r\n\r\n'.encode())

    def post(self, body, path=PATH + '?operation=PKIOperation', headers=()):
        lines = [f'POST {path} HTTP/1.1', 'Host: ca', f'Content-Length: {len(body)}', *headers]
        return self.raw('\r\n'.join(lines).encode() + b'\r\n\r\n' + body)

    def ask(self, body, **how):
        status, headers, answer = self.post(body, **how)
        assert status == 200 and headers['content-type'] == 'application/x-pki-message', (
            status, headers, answer[:100])
        return cms.Reply(answer, self.certificate)


def spki(key):
    return key.public_bytes(serialization.Encoding.DER,
                            serialization.PublicFormat.SubjectPublicKeyInfo)


class Client:
    """A key, a request for it and a self-signed certificate to sign the request with."""

    number = 0

    def __init__(self, challenge=CHALLENGE, bits=2048, names=(), like=None):
        Client.number += 1
        self.key = like.key if like else rsa.generate_private_key(65537, bits)
        self.transaction = f'interop-{os.getpid()}-{Client.number}'
        self.subject = like.subject if like else bench.name(f'client {Client.number}')
        self.request = self.make_request(challenge, names)
        self.own = self.self_signed()

    def make_request(self, challenge, names=()):
        builder = x509.CertificateSigningRequestBuilder().subject_name(self.subject)
        if challenge is not None:
            builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def self_signed(self):
        authority = bench.Authority.__new__(bench.Authority)
        authority.key, authority.subject = self.key, self.subject
        return authority.issue(self.subject, self.key.public_key())

    def message(self, ca, kind=cms.PKCS_REQ, content=None, *, cipher='aes128', digest='sha256',
                named='rsa', ber=False, signer=None, nonce=True, transaction=True, envelope=None,
                spoil=False, key=None):
        attributes = [cms.attribute(cms.MESSAGE_TYPE, cms.printable(kind))]
        if transaction:
            attributes.append(cms.attribute(cms.TRANSACTION, cms.printable(self.transaction)))
        self.nonce = os.urandom(16)
        if nonce:
            attributes.append(cms.attribute(cms.SENDER_NONCE, cms.octets(self.nonce)))
        sealed = envelope or cms.envelope(self.request if content is None else content,
                                          ca.certificate, cipher, ber)
        return cms.sign(sealed, attributes, signer or self.own, key or self.key, digest, named, ber,
                        spoil)

    def poll(self, ca):
        return self.message(ca, cms.CERT_POLL, cms.seq(
            ca.certificate.subject.public_bytes(), self.subject.public_bytes()))

    def granted(self, reply):
        """Whether the answer holds our certificate, and all that RFC 8894 wants beside it."""
        if reply.status != '0':
            return False
        leaf = next(one for one in reply.certificates(self.key)
                    if spki(one.public_key()) == spki(self.key.public_key()))
        self.certificate = leaf
        return (leaf.subject == self.subject and reply.get(cms.RECIPIENT_NONCE) == self.nonce
                and reply.get(cms.TRANSACTION) == self.transaction.encode()
                and len(reply.get(cms.SENDER_NONCE)) == 16)


# --- scenarios ----------------------------------------------------------------------------------


def attempt(check, what, call):
    try:
        check(what, call())
    except (AssertionError, EOFError, OSError, ValueError) as error:
        check(what, False, repr(error))


def messages(lab, check):
    """Every choice that a client has within RFC 8894."""
    ca, first = Authority(lab), Client()
    for what, how in (('AES-128, SHA-256', {}), ('AES-192', {'cipher': 'aes192'}),
                      ('AES-256, SHA-512', {'cipher': 'aes256', 'digest': 'sha512'}),
                      ('sha256WithRSAEncryption', {'named': 'hash'}),
                      ('BER with indefinite lengths', {'ber': True}),
                      ('BER, AES-256, SHA-512', {'ber': True, 'cipher': 'aes256',
                                                 'digest': 'sha512', 'named': 'hash'})):
        one = Client(like=first)
        attempt(check, what, lambda one=one, how=how: one.granted(ca.ask(one.message(ca, **how))))
    big = Client(names=[f'host-{at}.long-enough-a-name.example.org' for at in range(60)], bits=4096)
    attempt(check, 'a request of many names for a key of 4096 bits',
            lambda: big.granted(ca.ask(big.message(ca))))
    one = Client()
    sent = one.message(ca)
    attempt(check, 'the same message again: the same certificate', lambda: (
        one.granted(ca.ask(sent)) and one.certificate) == (one.granted(ca.ask(sent))
                                                           and one.certificate))
    serial = one.certificate.serial_number
    name_of = cms.seq(ca.certificate.subject.public_bytes(), cms.integer(serial))
    found = ca.ask(one.message(ca, cms.GET_CERT, name_of))
    check('GetCert', found.status == '0' and found.certificates(one.key)[0] == one.certificate)
    other = cms.seq(ca.certificate.subject.public_bytes(), cms.integer(serial + 12345))
    missing = ca.ask(one.message(ca, cms.GET_CERT, other))
    check('GetCert of what is not there: badCertId', (missing.status, missing.fail_info) ==
          ('2', '4'), (missing.status, missing.fail_info))
    crl = ca.ask(one.message(ca, cms.GET_CRL, name_of))
    check('GetCRL', crl.status == '0' and crl.revocation_list(one.key).is_signature_valid(
        ca.certificate.public_key()))
    for what, kind in (('RenewalReq', cms.RENEWAL), ('PKCSReq by the old certificate',
                                                     cms.PKCS_REQ)):
        again = Client(challenge=None)
        again.subject = one.subject
        again.request = again.make_request(None)
        attempt(check, f'renewal by {what}, without a challenge', lambda again=again, kind=kind: (
            ca.ask(again.message(ca, kind, signer=one.certificate, key=one.key)).status == '0'))


def refusals(lab, check):
    ca = Authority(lab)
    good, stranger = Client(), bench.Authority('stranger')
    message_check, request, algorithm = '1', '2', '0'
    wrong = Client(challenge='abracadabra')
    cases = {
        'a wrong challenge': (wrong.message(ca), [request]),
        'no challenge': (Client(challenge=None).message(ca), [request]),
        'SHA-1': (good.message(ca, digest='sha1'), [algorithm]),
        '3DES': (good.message(ca, cipher='3des'), [algorithm]),
        'a wrong signature': (good.message(ca, spoil=True), [message_check]),
        'an envelope for somebody else': (good.message(ca, envelope=cms.envelope(
            good.request, stranger.certificate)), [message_check, request]),
        'no envelope': (good.message(ca, envelope=good.request), [message_check, request]),
        # Not told apart from what can't be decrypted: padding would have an oracle.
        'a request that is none': (good.message(ca, content=b'\x30\x03\x02\x01\x01'),
                                   [message_check]),
        'a request for another key': (good.message(ca, content=wrong.request),
                                      [request, message_check]),
        'a message type of our own': (good.message(ca, '99'), [request]),
        'a CertRep': (good.message(ca, cms.CERT_REP), [request]),
        'no senderNonce': (good.message(ca, nonce=False), [request, message_check]),
        'no transactionID': (good.message(ca, transaction=False), [request, message_check]),
        'a renewal by a stranger': (good.message(
            ca, cms.RENEWAL, signer=stranger.certificate, key=stranger.key), [request,
                                                                              message_check]),
        'a poll of nothing': (Client().poll(ca), [request, '4']),
    }
    before = ca.daemon.ask('show crypto pki server')['certificates']
    for what, (message, said) in cases.items():
        status, _, body = ca.post(message)
        if status != 200:  # nothing that a CertRep could be made for
            check(what, status == 400, status)
            continue
        reply = cms.Reply(body, ca.certificate)
        check(what, reply.status == '2' and reply.fail_info in said,
              (reply.status, reply.fail_info))
    whole = good.message(ca)
    for size in (1, 4, 100, len(whole) // 2, len(whole) - 1):
        status, _, _ = ca.post(whole[:size])
        check(f'the first {size} octets of a good one', status == 400, status)
    check('no certificate came of it',
          ca.daemon.ask('show crypto pki server')['certificates'] == before)
    attempt(check, 'a good one', lambda: good.granted(ca.ask(good.message(ca))))


def pending(lab, check):
    ca = Authority(lab, grant='manual')
    one, other = Client(), Client()
    for client in (one, other):
        reply = ca.ask(client.message(ca))
        check('a request waits for the operator', reply.status == '3' and not reply.content)
    check('so does the poll', ca.ask(one.poll(ca)).status == '3')
    check('the same request again is the same request', ca.ask(one.message(ca)).status == '3')
    rows = ca.daemon.ask('pki server requests')
    waiting = sorted((row for row in rows if row.get('state', row.get('status')) == 'pending'),
                     key=lambda row: row['id'])
    check('two requests wait', len(waiting) == 2, rows)
    ca.daemon.ask('pki server grant', request=waiting[0]['id'])
    ca.daemon.ask('pki server reject', request=waiting[1]['id'])
    check('granted: the poll has the certificate', one.granted(ca.ask(one.poll(ca))))
    check('rejected: badRequest', ca.ask(other.poll(ca)).fail_info == '2')


def http(lab, check):
    """The ways to ask that HTTP has."""
    ca, first = Authority(lab), Client()

    def body():
        client = Client(like=first)
        return client, client.message(ca)

    def granted(make):
        def call():
            client, message = body()
            status, _, answer = make(message)
            assert status == 200, status
            return client.granted(cms.Reply(answer, ca.certificate))
        return call

    def base64_of(message, width=0):
        text = base64.b64encode(message).decode()
        lines = [text[at:at + width] for at in range(0, len(text), width)] if width else [text]
        return '\n'.join(lines)
    quote = urllib.parse.quote
    attempt(check, 'GET, base64 and %-encoding', granted(
        lambda message: ca.get('PKIOperation', quote(base64_of(message), safe=''))))
    attempt(check, 'GET, base64 with slashes as they are', granted(
        lambda message: ca.get('PKIOperation', quote(base64_of(message), safe='/='))))
    attempt(check, 'GET, base64 with nothing encoded', granted(
        lambda message: ca.get('PKIOperation', base64_of(message))))
    attempt(check, 'GET, base64 with line breaks', granted(
        lambda message: ca.get('PKIOperation', quote(base64_of(message, 64) + '\n', safe=''))))
    attempt(check, 'GET, HTTP/1.0', granted(
        lambda message: ca.get('PKIOperation', quote(base64_of(message), safe=''), '1.0')))
    attempt(check, 'GET, message before operation', granted(lambda message: ca.raw((
        f'GET {PATH}?message={quote(base64_of(message), safe="")}&operation=PKIOperation '
        'HTTP/1.1\r\nHost: ca\r\n\r\n').encode())))
    for what, how in (('a path of its own', {'path': '/scep?operation=PKIOperation'}),
                      ('no path', {'path': '/?operation=PKIOperation'}),
                      ('no operation', {'path': PATH}),
                      ('an empty message parameter', {'path':
                                                      PATH + '?operation=PKIOperation&message='}),
                      ('a content type', {'headers': ['Content-Type: application/x-pki-message']}),
                      ('another content type', {'headers': [
                          'Content-Type: application/octet-stream']}),
                      ('an absolute URI', {
                          'path': f'http://ca{PATH}?operation=PKIOperation'})):
        attempt(check, f'POST, {what}', granted(lambda message, how=how: ca.post(message, **how)))

    def chunked(message):
        parts = [message[at:at + 500] for at in range(0, len(message), 500)] + [b'']
        return ca.raw(f'POST {PATH}?operation=PKIOperation HTTP/1.1\r\nHost: ca\r\n'
                      'Transfer-Encoding: chunked\r\n\r\n'.encode()
                      + b''.join(b'%x\r\n%s\r\n' % (len(part), part) for part in parts))
    attempt(check, 'POST in chunks', granted(chunked))

    def expecting(message):
        connection = Http(ca.node, (
            f'POST {PATH}?operation=PKIOperation HTTP/1.1\r\nHost: ca\r\nExpect: 100-continue\r\n'
            f'Content-Length: {len(message)}\r\n\r\n').encode())
        status, _, _ = connection.answer()
        assert status == 100, status
        connection.sock.sendall(message)
        return connection.answer()
    attempt(check, 'POST after 100 Continue', granted(expecting))

    def keeps_alive():
        connection = Http(ca.node)
        for _ in range(5):
            client, message = body()
            connection.sock.sendall(f'POST {PATH}?operation=PKIOperation HTTP/1.1\r\nHost: ca\r\n'
                                    f'Content-Length: {len(message)}\r\n\r\n'.encode() + message)
            _, headers, answer = connection.answer()
            if not client.granted(cms.Reply(answer, ca.certificate)):
                return False
            if headers.get('connection') == 'close':  # as a server may (RFC 7230 section 6.6)
                return True
        return True
    attempt(check, 'five requests on one connection, if it stays open', keeps_alive)
    attempt(check, 'HTTP/1.0 ends with the answer', lambda: Http(
        ca.node, f'GET {PATH}?operation=GetCACaps HTTP/1.0\r\n\r\n'.encode()).answer()[0] == 200)
    status, headers, _ = ca.raw(f'HEAD {PATH}?operation=GetCACaps HTTP/1.1\r\nHost: ca\r\n\r\n'
                                .encode(), head=True)
    check('HEAD', status in (200, 405, 501), (status, headers))
    caps = ca.get('GetCACaps', 'interop-ca')[2].decode().split()
    check('GetCACaps with an identifier', {'AES', 'POSTPKIOperation', 'SHA-256'} <= set(caps), caps)
    status, headers, certificate = ca.get('GetCACert', '')
    check('GetCACert', headers['content-type'] == 'application/x-x509-ca-cert'
          and certificate == cms.der(ca.certificate), headers)
    check('an operation that is none', ca.get('Nothing')[0] in (400, 404, 501))
    slow = [Http(ca.node, b'POST ' + PATH.encode() + b'?operation=PKIOperation HTTP/1.1\r\nHo',
                 f'127.0.{one % 4}.2') for one in range(80)]
    attempt(check, 'with eighty that never finish', granted(ca.post))
    for one in slow:
        one.sock.close()


if __name__ == '__main__':
    scenario.run(globals()[sys.argv[1]])
