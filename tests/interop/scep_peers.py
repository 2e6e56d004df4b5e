#!/usr/bin/python3
"""SCEP with programs that we did not write, over loopback.

usage: scep_peers.py SCEP_TOOL SCENARIO

Each scenario is a function below. Exit code 77 (skipped) only when the peer isn't installed.
"""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

TOOL = os.path.abspath(sys.argv[1])
SCEP_SUBMIT = '/usr/lib/certmonger/scep-submit'


def need(*programs):
    for program in programs:
        if not shutil.which(program) and not os.access(program, os.X_OK):
            print(f'{program} is not installed')
            sys.exit(77)


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, **options)
    print('$', ' '.join(words), '->', done.returncode)
    if done.returncode != 0:
        print(done.stdout.decode(errors='replace'), done.stderr.decode(errors='replace'))
    return done


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'{what} did not happen in {seconds} s')
        time.sleep(0.05)


@contextlib.contextmanager
def background(*words, log):
    with open(log, 'wb') as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        with open(log, encoding='utf-8', errors='replace') as text:
            print(f'--- {log}\n{text.read()}')


@contextlib.contextmanager
def our_server(*options):
    """Our CA on a free port: its URL and fingerprint."""
    with background(TOOL, 'serve', 'port', *options, log='server.log') as process:
        wait_for(lambda: os.path.exists('port') or process.poll() is not None, 'the start')
        with open('port', encoding='ascii') as file:
            port, fingerprint = file.read().split()
        yield f'http://127.0.0.1:{port}/scep', fingerprint


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read()


def certificate(path, form='pem'):
    with open(path, 'rb') as file:
        octets = file.read()
    read = x509.load_pem_x509_certificate if form == 'pem' else x509.load_der_x509_certificate
    return read(octets)


def check_issued(leaf, ca, common_name):
    """Signed by the CA, named as asked, and no CA itself."""
    ca.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(),
                           leaf.signature_hash_algorithm)
    names = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert [name.value for name in names] == [common_name], leaf.subject
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.CLIENT_AUTH in usages


def our_ca(url, fingerprint):
    ca = x509.load_der_x509_certificate(fetch(url + '?operation=GetCACert'))
    assert ca.fingerprint(hashes.SHA256()).hex() == fingerprint
    return ca


def micromdm_client():
    """scepclient enrols with our CA, with the right challenge and not with a wrong one."""
    need('scepclient')
    with our_server('--allow-weak', '--challenge', 'sesame') as (url, fingerprint):
        words = ('scepclient', '-server-url', url, '-private-key', 'k.pem', '-certificate', 'c.pem',
                 '-cn', 'mdm1', '-challenge')
        assert run(*words, 'wrong').returncode != 0
        assert not os.path.exists('c.pem')
        os.remove('csr.pem')  # it would send the same request again
        assert run(*words, 'sesame').returncode == 0
        check_issued(certificate('c.pem'), our_ca(url, fingerprint), 'mdm1')
        with open('server.log', encoding='utf-8') as log:
            assert 'challenge_wrong' in log.read()


def micromdm_client_refused_when_strict():
    """It signs with SHA-1: without allow_weak our CA refuses it, and says why."""
    need('scepclient')
    with our_server() as (url, _):
        done = run('scepclient', '-server-url', url, '-private-key', 'k.pem',
                   '-certificate', 'c.pem')
        assert done.returncode != 0
        assert b'allow_weak is off' in done.stdout + done.stderr
        assert not os.path.exists('c.pem')


def micromdm_server():
    """Our client enrols with scepserver and renews; single DES answers, no GetCRL."""
    need('scepserver')
    assert run('scepserver', 'ca', '-init').returncode == 0
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
    url = f'http://127.0.0.1:{port}/scep'
    with background('scepserver', '-depot', 'depot', '-port', str(port), '-challenge', 'sesame',
                    '-allowrenew', '0', log='scepserver.log'):
        def up():
            with contextlib.suppress(OSError):
                return bool(fetch(url + '?operation=GetCACaps'))
            return False
        wait_for(up, 'scepserver')
        ca = certificate('depot/ca.pem')
        pin = ca.fingerprint(hashes.SHA256()).hex()
        strict = run(TOOL, 'enrol', url, '.', '--challenge', 'sesame', '--fingerprint', 'ab' * 32)
        assert strict.returncode != 0 and b'ca_fingerprint_mismatch' in strict.stderr
        wrong = run(TOOL, 'enrol', url, '.', '--challenge', 'wrong', '--allow-weak',
                    '--fingerprint', pin, '--once')
        assert wrong.returncode != 0 and b'scep_rejected' in wrong.stderr
        done = run(TOOL, 'enrol', url, '.', '--challenge', 'sesame', '--allow-weak',
                   '--fingerprint', pin, '--renew')
        assert done.returncode == 0
        leaf = certificate('certificate.pem')
        ca.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(),
                               leaf.signature_hash_algorithm)
        assert leaf.public_key().key_size == 2049
        assert b'CRL_FETCH_FAIL' in done.stderr  # it has none, and crl_then_none goes on


def write_key(path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with open(path, 'wb') as file:
        file.write(key.private_bytes(serialization.Encoding.DER,
                                     serialization.PrivateFormat.TraditionalOpenSSL,
                                     serialization.NoEncryption()))


def strongswan():
    """pki --scepca and --scep enrol with our CA and renew the certificate with a new key."""
    need('pki')
    with our_server('--allow-weak', '--challenge', 'sesame') as (url, fingerprint):
        assert run('pki', '--scepca', '--url', url, '--caout', 'ca.der').returncode == 0
        ca = certificate('ca.der', 'der')
        assert ca.fingerprint(hashes.SHA256()).hex() == fingerprint
        write_key('k1.der')
        common = ('pki', '--scep', '--url', url, '--dn', 'C=US, O=Seed Lab, CN=swan1',
                  '--san', 'swan1.example.net', '--cacert-enc', 'ca.der', '--cacert-sig', 'ca.der',
                  '--cipher', 'des3')
        assert run(*common, '--in', 'k1.der', '--password', 'wrong').returncode != 0
        done = run(*common, '--in', 'k1.der', '--password', 'sesame')
        assert done.returncode == 0
        with open('c1.der', 'wb') as file:
            file.write(done.stdout)
        first = certificate('c1.der', 'der')
        check_issued(first, ca, 'swan1')
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ['swan1.example.net']
        write_key('k2.der')
        done = run(*common, '--in', 'k2.der', '--cert', 'c1.der', '--key', 'k1.der')
        assert done.returncode == 0
        second = x509.load_der_x509_certificate(done.stdout)
        check_issued(second, ca, 'swan1')
        assert second.serial_number != first.serial_number
        assert second.public_key().public_numbers() != first.public_key().public_numbers()


def strongswan_pending():
    """Manual grant: pki --scep polls until the operator grants."""
    need('pki')
    with our_server('--allow-weak', '--manual') as (url, _):
        assert run('pki', '--scepca', '--url', url, '--caout', 'ca.der').returncode == 0
        write_key('k1.der')
        with open('c1.der', 'wb') as out:
            client = subprocess.Popen(
                ('pki', '--scep', '--url', url, '--in', 'k1.der', '--dn', 'CN=swan2',
                 '--cacert-enc', 'ca.der', '--cacert-sig', 'ca.der', '--cipher', 'des3',
                 '--interval', '1', '--maxpolltime', '30'), stdout=out, stderr=subprocess.DEVNULL)

        def pending():
            with open('server.log', encoding='utf-8') as log:
                return 'CS_PENDING' in log.read()
        wait_for(pending, 'the request')
        assert client.poll() is None
        fetch(url.replace('/scep', '/grant'))
        assert client.wait(timeout=40) == 0
        check_issued(certificate('c1.der', 'der'), certificate('ca.der', 'der'), 'swan2')


def strongswan_ecdsa_ca():
    """An ECDSA CA is reached through the RSA certificate for messages that it has made."""
    need('pki')
    with our_server('--allow-weak', '--ecdsa') as (url, fingerprint):
        done = run('pki', '--scepca', '--url', url, '--caout', 'ca.der', '--raout', 'ra.der')
        assert done.returncode == 0
        ca = certificate('ca.der', 'der')
        assert ca.fingerprint(hashes.SHA256()).hex() == fingerprint
        write_key('k1.der')
        done = run('pki', '--scep', '--url', url, '--in', 'k1.der', '--dn', 'CN=swan3',
                   '--cacert-enc', 'ra.der', '--cacert-sig', 'ra.der', '--cacert', 'ca.der',
                   '--cipher', 'des3')
        assert done.returncode == 0
        leaf = x509.load_der_x509_certificate(done.stdout)
        ca.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes,
                               ec.ECDSA(leaf.signature_hash_algorithm))


def certmonger():
    """scep-submit reads our capabilities and our CA certificate, without its daemon."""
    need(SCEP_SUBMIT)
    with our_server() as (url, fingerprint):
        done = run(SCEP_SUBMIT, '-u', url, '-c')
        assert done.returncode == 0
        capabilities = done.stdout.decode().split()
        for wanted in ('AES', 'SHA-256', 'SHA-512', 'POSTPKIOperation', 'Renewal', 'SCEPStandard'):
            assert wanted in capabilities, capabilities
        assert 'DES3' not in capabilities and 'SHA-1' not in capabilities
        done = run(SCEP_SUBMIT, '-u', url, '-C')
        assert done.returncode == 0
        ca = x509.load_pem_x509_certificate(done.stdout)
        assert ca.fingerprint(hashes.SHA256()).hex() == fingerprint


def ourselves():
    """Both of ours over real HTTP: enrol, renew, CRL; with an RSA and with an ECDSA CA."""
    for options in ((), ('--ecdsa',)):
        with our_server(*options, '--challenge', 'sesame') as (url, fingerprint):
            done = run(TOOL, 'enrol', url, '.', '--challenge', 'sesame', '--fingerprint',
                       fingerprint, '--renew')
            assert done.returncode == 0
            assert b'crls 1' in done.stdout
        os.remove('port')


def main():
    scenario = globals()[sys.argv[2]]
    print(scenario.__doc__)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        scenario()
        os.chdir('/')
    print('passed')


main()
