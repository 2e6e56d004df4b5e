#!/usr/bin/python3
"""Phase 1 with Debian's strongSwan (charon, IKEv1) in two network namespaces.

usage: strongswan.py IKE_TOOL SCENARIO

charon keeps UDP 500, as on any other port it wants a non-ESP marker before each message; nftables
in its namespace turns our 848 into its 500 and back. So our end speaks 848 as it does to a GDOI
peer.
Exit code 77 (skipped) only without root or without strongSwan.
"""
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time

from ike_bench import (NS_OURS, NS_THEIRS, OURS, THEIRS, TOOL, Lines, Pki, need, network, run)

CHARON = '/usr/lib/ipsec/charon'
need(CHARON, '/usr/sbin/swanctl', '/usr/sbin/nft', '/usr/bin/openssl')


class Charon:
    def __init__(self, folder, connection, secrets='', pki=None, extra='', fragment='yes'):
        self.folder = folder
        swan = os.path.join(folder, 'swanctl')
        for sub in ('x509', 'x509ca', 'private'):
            os.makedirs(os.path.join(swan, sub))
        if pki:
            shutil.copy(pki.path('theirs.crt'), os.path.join(swan, 'x509'))
            shutil.copy(pki.path('root.crt'), os.path.join(swan, 'x509ca'))
            shutil.copy(pki.path('theirs.key'), os.path.join(swan, 'private'))
        with open(os.path.join(swan, 'swanctl.conf'), 'w', encoding='utf-8') as out:
            out.write('connections {\n lab {\n  version = 1\n'
                      f'  local_addrs = {THEIRS}\n  remote_addrs = {OURS}\n'
                      f'  fragmentation = {fragment}\n{connection}\n'
                      '  children { net { mode = tunnel } }\n }\n}\n'
                      f'secrets {{\n{secrets}\n}}\n')
        config = os.path.join(folder, 'strongswan.conf')
        with open(config, 'w', encoding='utf-8') as out:
            out.write('charon {\n load_modular = yes\n dos_protection = no\n retransmit_tries = 2\n'
                      ' install_routes = no\n' + extra +
                      ' filelog { stdout { default = 1\n ike = 2\n enc = 1\n flush_line = yes } }\n'
                      ' plugins {\n  include /etc/strongswan.d/charon/*.conf\n'
                      f'  vici {{ socket = unix://{folder}/vici }}\n'
                      '  kernel-libipsec { load = no }\n  bypass-lan { load = no }\n'
                      '  stroke { load = no }\n }\n}\n')
        self.environment = ['env', f'STRONGSWAN_CONF={config}', f'SWANCTL_DIR={swan}']
        self.child = Lines(['ip', 'netns', 'exec', NS_THEIRS, *self.environment, 'sh', '-c',
                            f'mount -t tmpfs none /run && exec stdbuf -oL {CHARON}'], 'charon')
        end = time.monotonic() + 20
        while not os.path.exists(f'{folder}/vici'):
            self.child.pump(0.1)
            if time.monotonic() > end:
                raise AssertionError('charon does not come up')
        print(self.swanctl('--load-all', '--noprompt').stdout)

    def swanctl(self, *words, check=True):
        return run('ip', 'netns', 'exec', NS_THEIRS, *self.environment, 'swanctl', words[0],
                   '--uri', f'unix://{self.folder}/vici', *words[1:], check=check)

    def initiate(self):
        return self.swanctl('--initiate', '--ike', 'lab', '--timeout', '20', check=False)

    def established(self):
        return 'ESTABLISHED' in self.swanctl('--list-sas').stdout


@contextlib.contextmanager
def ends(connection, ours, *, secrets='', pki=None, extra='', port=848, fragment='yes'):
    """Both ends up: (our tool, charon)."""
    with tempfile.TemporaryDirectory(prefix='ike-interop-') as folder, \
            network(rewrite=port == 848):
        charon = None
        tool = Lines(['ip', 'netns', 'exec', NS_OURS, TOOL, '--local', OURS, '--peer', THEIRS,
                      '--port', str(port), '--seed', str(time.time_ns() % 2**63), *ours], 'ours')
        try:
            tool.wait('READY')
            charon = Charon(folder, connection, secrets, pki, extra, fragment)
            yield tool, charon
        finally:
            tool.end()
            if charon:
                charon.child.end()


PSK_SECRET = f' ike-lab {{ id = {OURS}\n secret = "interop key" }}'
PSK = '  proposals = aes256-sha256-modp2048\n  local { auth = psk }\n  remote { auth = psk }\n'
PSK_OURS = ['--policy', 'aes256/sha256/14/psk', '--psk', 'interop key']


def pubkey(proposal='aes256-sha256-modp2048', remote='O=cohort interop, OU=GETVPN, CN=ours'):
    return (f'  proposals = {proposal}\n'
            '  local { auth = pubkey\n certs = theirs.crt }\n'
            f'  remote {{ auth = pubkey\n id = "{remote}" }}\n')


def both_ways(tool, charon, identity):
    """We call, close; charon calls, closes."""
    tool.command('initiate')
    at = tool.wait(f'ESTABLISHED {identity}')
    charon.child.wait('IKE_SA lab[1] established')
    assert charon.established()
    tool.command('close')
    charon.child.wait('received DELETE for IKE_SA lab[1]')
    called = charon.initiate()
    assert called.returncode == 0, called.stdout + called.stderr
    at = tool.wait(f'ESTABLISHED {identity}', since=at)
    assert charon.established()
    charon.swanctl('--terminate', '--ike', 'lab')
    tool.wait('CLOSED peer_deleted', since=at)
    return at


def psk():
    with ends(PSK, PSK_OURS, secrets=PSK_SECRET) as (tool, charon):
        both_ways(tool, charon, THEIRS)


def psk_on_500():
    with ends(PSK, PSK_OURS, secrets=PSK_SECRET, port=500) as (tool, charon):
        both_ways(tool, charon, f'{THEIRS} at {THEIRS}:500')


def wrong_psk():
    with ends(PSK, PSK_OURS[:3] + ['another key'], secrets=PSK_SECRET) as (tool, charon):
        assert charon.initiate().returncode != 0
        tool.wait('REFUSED undecryptable')
        at = len(tool.seen)
        tool.command('initiate')
        # Its complaint is sealed with keys that we don't have.
        tool.wait('REFUSED undecryptable', since=at)
        tool.wait('role=initiator, reason=undecryptable', since=at)
        assert not any('ESTABLISHED' in line for line in tool.seen)


def rsa():
    with tempfile.TemporaryDirectory() as folder:
        pki = Pki(folder)
        with ends(pubkey(), ['--policy', 'aes256/sha256/14/rsa', *pki.for_us()],
                  pki=pki) as (tool, charon):
            both_ways(tool, charon, 'CN=theirs,OU=GETVPN,O=cohort interop')


def rsa_chain_in_fragments():
    with tempfile.TemporaryDirectory() as folder:
        pki = Pki(folder)
        ours = ['--policy', 'aes128/sha512/16/rsa', '--fragment-size', '600',
                *pki.for_us('branch', ['middle'])]
        with ends(pubkey('aes128-sha512-modp4096', 'O=cohort interop, OU=GETVPN, CN=branch'), ours,
                  pki=pki, fragment='force', extra=' fragment_size = 700\n') as (tool, charon):
            both_ways(tool, charon, 'CN=theirs,OU=GETVPN,O=cohort interop')
            log = '\n'.join(charon.child.seen)
            assert 'received fragment #' in log and 'splitting IKE message' in log


def rsa_refused():
    """A certificate of another authority, at either end."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other_folder:
        pki, other = Pki(folder), Pki(other_folder)
        ours = ['--policy', 'aes256/sha256/14/rsa', *other.for_us()[:4], '--trust',
                pki.path('root.crt')]
        with ends(pubkey(), ours, pki=pki) as (tool, charon):
            tool.command('initiate')
            tool.wait('CLOSED peer_refused', seconds=60)
            assert not charon.established()
        ours = ['--policy', 'aes256/sha256/14/rsa', *pki.for_us()[:4], '--trust',
                other.path('root.crt')]
        with ends(pubkey(), ours, pki=pki) as (tool, charon):
            assert charon.initiate().returncode != 0
            tool.wait('REFUSED untrusted_certificate')
            charon.child.wait('received INVALID_CERTIFICATE')
            assert not any(line.startswith('ESTABLISHED') for line in tool.seen)


def ecdsa(curve, group, method, sizes):
    with tempfile.TemporaryDirectory() as folder:
        pki = Pki(folder, curve)
        with ends(pubkey(f'aes{sizes[0]}-sha{sizes[1]}-{group[0]}'),
                  ['--policy', f'aes{sizes[0]}/sha{sizes[1]}/{group[1]}/{method}', *pki.for_us()],
                  pki=pki) as (tool, charon):
            both_ways(tool, charon, 'CN=theirs,OU=GETVPN,O=cohort interop')


def ecdsa256():
    # Agreed SHA-384, while RFC 4754 ties the signature to SHA-256.
    ecdsa('P-256', ('ecp256', 19), 'ecdsa256', (256, 384))


def ecdsa384():
    ecdsa('P-384', ('ecp384', 20), 'ecdsa384', (192, 384))


def ecdsa521():
    ecdsa('P-521', ('ecp521', 21), 'ecdsa521', (256, 512))


def policies():
    """Each transform that we offer by itself, and the choice among several."""
    every = [('aes128', 'sha256', 'modp3072', 15), ('aes192', 'sha384', 'modp4096', 16),
             ('aes256', 'sha512', 'ecp384', 20), ('aes256', 'sha1', 'modp1536', 5),
             ('3des', 'md5', 'modp1024', 2)]
    for cipher, digest, name, number in every:
        connection = PSK.replace('aes256-sha256-modp2048', f'{cipher}-{digest}-{name}')
        ours = ['--policy', f'aes256/sha256/19/psk', f'{cipher}/{digest}/{number}/psk', '--psk',
                'interop key', '--allow-weak']
        with ends(connection, ours, secrets=PSK_SECRET) as (tool, charon):
            both_ways(tool, charon, THEIRS)


def no_common_policy():
    with ends(PSK, ['--policy', 'aes128/sha256/19/psk', '--psk', 'interop key'],
              secrets=PSK_SECRET) as (tool, charon):
        tool.command('initiate')
        tool.wait('REFUSED unauthenticated_notify')
        assert charon.initiate().returncode != 0
        tool.wait('REFUSED no_proposal_chosen')
        charon.child.wait('received NO_PROPOSAL_CHOSEN')


def dpd():
    """Both ask each other; then charon vanishes and we notice."""
    ours = [*PSK_OURS, '--dpd', 'periodic', '--dpd-interval', '1']
    with ends(PSK + '  dpd_delay = 1\n', ours, secrets=PSK_SECRET) as (tool, charon):
        tool.command('initiate')
        tool.wait('ESTABLISHED')
        charon.child.wait('N(DPD_ACK)')
        at = charon.child.wait('parsed INFORMATIONAL_V1 request')
        for _ in range(4):
            at = charon.child.wait('N(DPD', since=at)
        tool.command('count')
        tool.wait('COUNT 1')
        assert not any('REFUSED' in line for line in tool.seen)
        run('ip', '-n', NS_THEIRS, 'link', 'set', 'up0', 'down')
        tool.wait('CLOSED peer_dead')


def dpd_by_charon():
    """We vanish, and charon notices by our missing answers."""
    with ends(PSK + '  dpd_delay = 1\n', PSK_OURS, secrets=PSK_SECRET,
              extra=' retransmit_timeout = 1\n') as (tool, charon):
        assert charon.initiate().returncode == 0
        charon.child.wait('N(DPD_ACK)')
        run('ip', '-n', NS_OURS, 'link', 'set', 'up0', 'down')
        charon.child.wait('DPD check timed out', seconds=60)


def rekey():
    """A new main mode before the end of the old one's life."""
    with ends(PSK, [*PSK_OURS, '--lifetime', '12'], secrets=PSK_SECRET) as (tool, charon):
        tool.command('initiate')
        at = tool.wait('ESTABLISHED')
        tool.wait('ESTABLISHED', since=at, seconds=30)
        charon.child.wait('IKE_SA lab[2] established')


def notify():
    with ends(PSK, PSK_OURS, secrets=PSK_SECRET) as (tool, charon):
        tool.command('initiate')
        tool.wait('ESTABLISHED')
        tool.command('notify')
        charon.child.wait('received INVALID_ID_INFORMATION error notify')


def nat_traversal():
    """The rewritten ports look like a NAT: the control plane moves to UDP 4500."""
    with ends(PSK, [*PSK_OURS, '--nat-traversal'], secrets=PSK_SECRET) as (tool, charon):
        tool.command('initiate')
        at = tool.wait(f'ESTABLISHED {THEIRS} at {THEIRS}:4500')
        assert charon.established()
        tool.command('close')
        charon.child.wait('received DELETE for IKE_SA lab[1]')
        assert charon.initiate().returncode == 0
        tool.wait(f'ESTABLISHED {THEIRS} at {THEIRS}:4500', since=at)


def restart():
    """charon restarts without a word; INITIAL-CONTACT makes us forget what was."""
    with ends(PSK, PSK_OURS, secrets=PSK_SECRET) as (tool, charon):
        assert charon.initiate().returncode == 0
        at = tool.wait('ESTABLISHED')
        charon.child.process.kill()
        charon.child.process.wait()
        os.unlink(f'{charon.folder}/vici')
        shutil.rmtree(f'{charon.folder}/swanctl')
        charon.child.process.stdout.close()
        # It says INITIAL-CONTACT only to an identity that its configuration names.
        named = PSK.replace('remote { auth = psk }', f'remote {{ auth = psk\n id = {OURS} }}')
        again = Charon(charon.folder, named, PSK_SECRET)
        charon.child = again.child
        assert again.initiate().returncode == 0
        tool.wait('ESTABLISHED', since=at)
        tool.wait('CLOSED peer_restarted', since=at)
        tool.command('count')
        tool.wait('COUNT 1')


def ike_scan():
    """A prober finds us, and what it sends does us no harm."""
    if not shutil.which('ike-scan'):
        print('ike-scan is not installed')
        sys.exit(77)
    with ends(PSK, PSK_OURS, secrets=PSK_SECRET) as (tool, charon):
        tool.command('initiate')
        tool.wait('ESTABLISHED')

        def scan(*words):
            return run('ip', 'netns', 'exec', NS_THEIRS, 'ike-scan', '--sport=0', '--dport=848',
                       '--retry=1', *words, OURS).stdout
        assert 'Handshake returned' in scan('--trans=(1=7,14=256,2=4,3=1,4=14)')
        assert 'Notify message 14' in scan('--trans=(1=5,2=2,3=1,4=2)')
        for words in (['--aggressive'], ['--ikev2'], ['--doi=7'], ['--situation=6'],
                      ['--headerlen=+5'], ['--headerlen=7'], ['--mbz=255'], ['--headerver=0x20'],
                      ['--spisize=32'], ['--protocol=3'], ['--exchange=33'], ['--nextpayload=9']):
            scan(*words)
        tool.command('count')
        tool.wait('COUNT 1')
        assert charon.established()


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what we made is removed
    globals()[sys.argv[2]]()
    print('ok')
