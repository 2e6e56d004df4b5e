#!/usr/bin/python3
"""Our SCEP client, in cohortd as it ships, against authorities of every make (cms.py).

usage: as_server.py enrolment      with COHORT_BUILD set; needs root (or sudo -n)

One trustpoint for each kind of authority, which the path of its URL names; all enrol at once.
"""
import base64
import hashlib
import os
import pathlib
import socket
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'gdoi'))
# pylint: disable=wrong-import-position
import bench  # noqa: E402
import cms  # noqa: E402
from cryptography import x509  # noqa: E402

from lab import scenario  # noqa: E402  of tests/e2e; bench has put it on the path

PORT = 8081
CAPS = 'AES\nPOSTPKIOperation\nSHA-256\nSHA-512\nRenewal\nSCEPStandard\n'


class Kind:
    """How an authority behaves. good: whether the client may take its certificate."""

    def __init__(self, good=True, caps=CAPS, certs='ca', cipher='aes128', digest='sha256',
                 named='rsa', ber=False, framing='length', kind='application/x-pki-message',
                 order='leaf', spoil=None, pend=False, issuer='root', signer='root'):
        self.__dict__.update(locals())
        self.asked = []


KINDS = {
    'plain': Kind(), 'only-standard': Kind(caps='SCEPStandard\n'),
    'crlf': Kind(caps='Foo-bar\r\nSHA-256 \r\nAES\r\nPOSTPKIOperation\r\nGetNextCACert\r\n'),
    'no-last-newline': Kind(caps='POSTPKIOperation\nAES\nSHA-256'),
    'no-post': Kind(caps='AES\nSHA-256\n'),
    'strong': Kind(cipher='aes256', digest='sha512', named='hash'), 'ber': Kind(ber=True),
    'chunks': Kind(framing='chunks'), 'until-close': Kind(framing='close'),
    'no-content-type': Kind(kind=None), 'octets': Kind(kind='application/octet-stream'),
    'certificates-backwards': Kind(order='back'),
    'intermediate': Kind(certs='chain', issuer='middle', signer='middle'),
    'registration-authority': Kind(certs='ra', signer='ra'), 'pending': Kind(pend=True),
    'refuses': Kind(False, spoil='refuses'), 'wrong-nonce': Kind(False, spoil='nonce'),
    'wrong-transaction': Kind(False, spoil='transaction'),
    'wrong-signature': Kind(False, spoil='signature'), 'other-key': Kind(False, spoil='key'),
    'other-signer': Kind(False, signer='stranger'), 'weak': Kind(False, caps='DES3\nSHA-1\n'),
    'no-capabilities': Kind(False, caps=None), 'junk': Kind(False, spoil='junk'),
    'empty': Kind(False, spoil='empty'), 'half': Kind(False, spoil='half'),
}


class Authorities:
    """An HTTP server of its own making; answers by the path."""

    def __init__(self, node):
        root = bench.Authority('root')
        self.who = {'root': root, 'middle': bench.Authority('middle', issuer=root),
                    'ra': self.registrar(root), 'stranger': bench.Authority('stranger')}
        with bench.inside(node):
            self.sock = socket.create_server(('127.0.0.1', PORT), backlog=50)
        threading.Thread(target=self.loop, daemon=True).start()

    @staticmethod
    def registrar(root):
        """An end certificate for signing and encryption (RFC 8894 section 2.1.2)."""
        out = bench.Authority.__new__(bench.Authority)
        out.key, out.subject = bench.new_key('rsa'), bench.name('ra', 'RA')
        out.certificate = x509.CertificateBuilder().subject_name(out.subject).issuer_name(
            root.subject).public_key(out.key.public_key()).serial_number(77).not_valid_before(
                root.certificate.not_valid_before).not_valid_after(
                    root.certificate.not_valid_after).add_extension(x509.KeyUsage(
                        True, False, True, False, False, False, False, False, False), True).sign(
                            root.key, root.certificate.signature_hash_algorithm)
        return out

    def loop(self):
        while True:
            connection, _ = self.sock.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile('rb') as reader:
            method, target, _ = reader.readline().decode().split(' ')
            headers = {}
            while line := reader.readline().decode().strip():
                name, _, value = line.partition(':')
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get('content-length', 0)))
            url = urllib.parse.urlsplit(target)
            query = urllib.parse.parse_qs(url.query.replace('+', '%2B'))
            kind = KINDS[url.path.strip('/')]
            status, content_type, out = self.answer(kind, method, query, body)
            head = f'HTTP/1.1 {status} x\r\n' + (
                f'Content-Type: {content_type}\r\n' if content_type else '')
            if kind.framing == 'chunks':
                out = b''.join(b'%X\r\n%s\r\n' % (len(part), part) for part in
                               [out[at:at + 300] for at in range(0, len(out), 300)] + [b''])
                head += 'Transfer-Encoding: chunked\r\n'
            elif kind.framing == 'length':
                head += f'Content-Length: {len(out)}\r\n'
            connection.sendall(head.encode() + b'Connection: close\r\n\r\n' + out)

    def answer(self, kind, method, query, body):
        operation = query['operation'][0]
        kind.asked.append((method, operation))
        if operation == 'GetCACaps':
            return (404, 'text/html', b'?') if kind.caps is None else (
                200, 'text/plain', kind.caps.encode())
        if operation == 'GetCACert':
            names = {'ca': ['root'], 'chain': ['middle', 'root'], 'ra': ['ra', 'root']}[kind.certs]
            certificates = [cms.der(self.who[one].certificate) for one in names]
            if len(certificates) == 1:
                return 200, 'application/x-x509-ca-cert', certificates[0]
            return 200, 'application/x-x509-ca-ra-cert', cms.certs_only(certificates)
        message = body if method == 'POST' else base64.b64decode(query['message'][0])
        return 200, kind.kind, self.reply(kind, message)

    def reply(self, kind, message):
        if kind.spoil in ('junk', 'empty'):
            return {'junk': os.urandom(700), 'empty': b''}[kind.spoil]
        asked = cms.Asked(message)
        signer, issuer = self.who[kind.signer], self.who[kind.issuer]
        nonce = asked.get(cms.SENDER_NONCE)
        transaction = asked.get(cms.TRANSACTION).decode()
        if kind.spoil == 'nonce':
            nonce = bytes(16)
        if kind.spoil == 'transaction':
            transaction += 'x'
        status, more, content = '0', [], None
        if kind.spoil == 'refuses':
            status, more = '2', [cms.attribute(cms.FAIL_INFO, cms.printable('2'))]
        elif kind.pend and asked.get(cms.MESSAGE_TYPE) == cms.PKCS_REQ.encode():
            status, kind.request = '3', asked
        else:
            content = self.issued(kind, getattr(kind, 'request', asked), asked, signer, issuer)
        attributes = [cms.attribute(name, value) for name, value in (
            (cms.MESSAGE_TYPE, cms.printable(cms.CERT_REP)),
            (cms.TRANSACTION, cms.printable(transaction)), (cms.STATUS, cms.printable(status)),
            (cms.SENDER_NONCE, cms.octets(os.urandom(16))),
            (cms.RECIPIENT_NONCE, cms.octets(nonce)))]
        out = cms.sign(content, attributes + more, signer.certificate, signer.key, kind.digest,
                       kind.named, kind.ber, kind.spoil == 'signature')
        return out[:len(out) // 2] if kind.spoil == 'half' else out

    def issued(self, kind, request, asked, signer, issuer):
        owner = self.who['root' if kind.signer == 'stranger' else kind.signer]
        wanted = x509.load_der_x509_csr(cms.open_envelope(request.content, owner.key))
        public = (self.who['stranger'].key if kind.spoil == 'key' else wanted).public_key()
        leaf = issuer.issue(wanted.subject, public)
        certificates = [cms.der(leaf), cms.der(issuer.certificate)]
        if kind.order == 'back':
            certificates.reverse()
        return cms.envelope(cms.certs_only(certificates), asked.signer, kind.cipher, kind.ber)


def enrolment(lab, check):
    node = lab.node('gm')
    authorities = Authorities(node)
    pin = hashlib.sha256(cms.der(authorities.who['root'].certificate)).hexdigest()
    out = bench.common(node, 'gm', [bench.policy_of()])
    out['keys'] = {'pkikey': {'type': 'rsa', 'modulus': 2048},
                   'sign': {'type': 'rsa', 'modulus': 2048}}
    out['trustpoints'] = {name: {
        'key': 'pkikey', 'enrollment_url': f'http://127.0.0.1:{PORT}/{name}',
        'subject_name': 'OU=GETVPN_GM', 'ca_fingerprint_sha256': pin, 'revocation_check': 'none',
        'challenge_password': 'secret', 'poll_interval': '1s', 'retry_interval': '60s'}
        for name in KINDS}
    out['access_lists'] = {'data': ['permit ip 10.0.0.0/24 10.1.0.0/16']}
    out['profiles'] = {'gcm': {'transform': 'aes-256-gcm'}}
    out['key_server'] = {'address': '127.0.0.1', 'groups': [{
        'name': 'g', 'identity': 1, 'rekey': {'signing_key': 'sign'},
        'sas': [{'access_list': 'data', 'profile': 'gcm'}], 'authorization': []}]}
    daemon = bench.daemons.Daemon(node, out).start()

    def state():
        return {row['name']: row for row in daemon.ask('show crypto pki trustpoints')}
    good = {name for name, kind in KINDS.items() if kind.good}
    asked = {name for name, kind in KINDS.items() if not kind.good and kind.caps == CAPS}

    def settled():
        return (all(state()[name]['enrolled'] for name in good)
                and all(('POST', 'PKIOperation') in KINDS[name].asked for name in asked))
    try:
        bench.wait_for(settled, 60, 'enrolment with every authority')
    except bench.LabError:
        pass
    now = state()
    for name, kind in KINDS.items():
        check(f'{name}: {"enrolled" if kind.good else "refused"}',
              now[name]['enrolled'] == kind.good, (now[name], kind.asked))
    methods = {method for method, operation in KINDS['no-post'].asked
               if operation == 'PKIOperation'}
    check('no-post: asked by GET', methods == {'GET'}, KINDS['no-post'].asked)
    check('pending: polled', len(KINDS['pending'].asked) >= 4, KINDS['pending'].asked)
    check('the daemon lives', daemon.alive())


if __name__ == '__main__':
    scenario.run(globals()[sys.argv[1]])
