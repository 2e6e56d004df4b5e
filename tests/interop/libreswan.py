#!/usr/bin/python3
"""Phase 1 with libreswan (pluto, IKEv1), which calls us: it knows no DOI but IPsec's, and does not
understand us, who call with GDOI's.

usage: libreswan.py IKE_TOOL SCENARIO

Debian's libreswan can't be installed beside strongSwan. So a copy that was only unpacked will do:
    apt-get download libreswan && dpkg -x libreswan_*.deb DIRECTORY
(with libldns3 and libnss3-tools installed), and LIBRESWAN_ROOT=DIRECTORY in the environment.
Exit code 77 (skipped) only without root or without libreswan.
"""
import contextlib
import os
import signal
import sys
import tempfile
import time

from ike_bench import (NS_OURS, NS_THEIRS, OURS, THEIRS, TOOL, Lines, Pki, need, network, run)

PROGRAMS = '/usr/libexec/ipsec'
HERE = os.environ.get('LIBRESWAN_ROOT', '') + PROGRAMS
need(f'{HERE}/pluto', f'{HERE}/whack', '/usr/bin/certutil', '/usr/bin/pk12util',
     '/usr/bin/openssl')
KEY = 'a pre-shared key of the interop test'


class Pluto:
    def __init__(self, folder, pki=None, extra=''):
        self.folder = folder
        nss = f'sql:{folder}/nss'
        os.makedirs(f'{folder}/nss')
        run('certutil', '-N', '-d', nss, '--empty-password')
        if pki:
            run('openssl', 'pkcs12', '-export', '-inkey', pki.path('theirs.key'), '-in',
                pki.path('theirs.crt'), '-name', 'theirs', '-passout', 'pass:', '-out',
                f'{folder}/theirs.p12')
            run('pk12util', '-i', f'{folder}/theirs.p12', '-d', nss, '-W', '', '-K', '')
            run('certutil', '-A', '-d', nss, '-n', 'root', '-t', 'CT,,', '-a', '-i',
                pki.path('root.crt'))
        with open(f'{folder}/ipsec.conf', 'w', encoding='ascii') as out:
            out.write(f'config setup\n\tprotostack=xfrm\n\tikev1-policy=accept\n{extra}')
        with open(f'{folder}/secrets', 'w', encoding='ascii') as out:
            out.write(f'{THEIRS} {OURS} : PSK "{KEY}"\n')
        script = (f'mount -t tmpfs none /usr/libexec && mkdir {PROGRAMS} && '
                  f'mount --bind {folder}/programs {PROGRAMS} && '
                  f'exec {PROGRAMS}/pluto --config {folder}/ipsec.conf --nofork --stderrlog '
                  f'--nssdir {folder}/nss --rundir {folder} --secretsfile {folder}/secrets '
                  f'--dumpdir {folder}')
        if not os.environ.get('LIBRESWAN_ROOT'):
            script = script[script.index('exec'):]
        os.symlink(HERE, f'{folder}/programs')
        self.child = Lines(['ip', 'netns', 'exec', NS_THEIRS, 'unshare', '-m', 'sh', '-c', script],
                           'pluto')
        self.child.wait('listening for IKE messages')
        self.whack('--listen')
        self.whack('--debug', 'all')

    def whack(self, *words, check=True):
        return run('ip', 'netns', 'exec', NS_THEIRS, f'{HERE}/whack', '--ctlsocket',
                   f'{self.folder}/pluto.ctl', *words, check=check)

    def connection(self, ike, ends, *more):
        self.whack('--name', 'lab', '--ikev1', '--encrypt', '--tunnel', '--ike', ike, *more, *ends)

    def initiate(self):
        """Main mode; its Quick Mode, which a GDOI peer has no answer for, is not waited for."""
        self.whack('--name', 'lab', '--asynchronous', '--initiate')
        self.child.wait('IKE SA established')


@contextlib.contextmanager
def both(ours, pki=None, extra=''):
    with tempfile.TemporaryDirectory(prefix='ike-interop-') as folder, network(rewrite=False):
        pluto = None
        tool = Lines(['ip', 'netns', 'exec', NS_OURS, TOOL, '--local', OURS, '--peer', THEIRS,
                      '--port', '500', '--seed', str(time.time_ns() % 2**63), *ours], 'ours')
        try:
            tool.wait('READY')
            pluto = Pluto(folder, pki, extra)
            yield tool, pluto
        finally:
            tool.end()
            if pluto:
                pluto.child.end()


PSK_ENDS = ('--psk', '--host', THEIRS, '--to', '--host', OURS)


def psk():
    """Each cipher, hash and group that both have; and its DELETE."""
    offers = [('aes256-sha2_256-modp2048', 'aes256/sha256/14/psk'),
              ('aes128-sha2_256-modp3072', 'aes128/sha256/15/psk'),
              ('aes192-sha2_512-modp4096', 'aes192/sha512/16/psk'),
              ('aes256-sha2_512-dh19', 'aes256/sha512/19/psk'),
              ('aes128-sha2_256-dh20', 'aes128/sha256/20/psk'),
              ('aes256-sha2_512-dh21', 'aes256/sha512/21/psk')]
    with both(['--policy', *[ours for _, ours in offers], '--psk', KEY]) as (tool, pluto):
        at = 0
        for ike, _ in offers:
            pluto.connection(ike, PSK_ENDS)
            pluto.initiate()
            at = tool.wait(f'ESTABLISHED {THEIRS}', since=at)
            pluto.whack('--name', 'lab', '--delete')
            at = tool.wait('CLOSED peer_deleted', since=at)
            pluto.child.seen.clear()


def several_offers():
    """Its whole default proposal, of which we take one."""
    with both(['--policy', 'aes256/sha256/14/psk', '--psk', KEY]) as (tool, pluto):
        pluto.whack('--name', 'lab', '--ikev1', '--encrypt', '--tunnel', *PSK_ENDS)
        pluto.initiate()
        tool.wait(f'ESTABLISHED {THEIRS}')


def dpd():
    """It answers our questions; we close and it hears."""
    with both(['--policy', 'aes256/sha256/14/psk', '--psk', KEY, '--dpd', 'periodic',
               '--dpd-interval', '1']) as (tool, pluto):
        pluto.connection('aes256-sha2_256-modp2048', PSK_ENDS)
        pluto.initiate()
        tool.wait('ESTABLISHED')
        at = 0
        for _ in range(7):  # without answers it would be dead to us after five
            at = pluto.child.wait('received R_U_THERE', since=at)
        tool.command('count')
        tool.wait('COUNT 1')
        assert not any('CLOSED' in line for line in tool.seen)
        tool.command('close')
        pluto.child.wait('received Delete SA payload')


def rsa():
    with tempfile.TemporaryDirectory() as folder:
        pki = Pki(folder)
        ends = ('--rsasig', '--host', THEIRS, '--cert', 'theirs', '--id', '%fromcert', '--to',
                '--host', OURS, '--id', 'O=cohort interop, OU=GETVPN, CN=ours', '--ca', '%any')
        with both(['--policy', 'aes256/sha256/14/rsa', '--fragment-size', '600',
                   *pki.for_us()], pki=pki) as (tool, pluto):
            pluto.connection('aes256-sha2_256-modp2048', ends, '--sendcert', 'always',
                             '--ikefrag-allow', '--ikefrag-force')
            pluto.initiate()
            tool.wait('ESTABLISHED CN=theirs,OU=GETVPN,O=cohort interop')
            log = '\n'.join(pluto.child.seen)
            assert 'sending IKE fragment' in log and 'received IKE fragment' in log


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what we made is removed
    globals()[sys.argv[2]]()
    print('ok')
