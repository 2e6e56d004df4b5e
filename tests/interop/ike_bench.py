"""Two network namespaces, our phase 1 in one of them (ike_tool.cpp), and certificates: what tests
with IKE daemons of others have in common.
"""
import contextlib
import os
import select
import subprocess
import sys
import time

TOOL = os.path.abspath(sys.argv[1])
OURS, THEIRS = '10.77.0.1', '10.77.0.2'
TAG = f'{os.getpid() % 100000}'
NS_OURS, NS_THEIRS = f'ike-a{TAG}', f'ike-b{TAG}'

if os.geteuid() != 0:
    print('needs root for network namespaces')
    sys.exit(77)


def need(*programs):
    for program in programs:
        if not os.access(program, os.X_OK):
            print(f'{program} is not installed')
            sys.exit(77)


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Lines:
    """A child whose lines are read as they come, and that takes commands."""

    def __init__(self, words, name):
        self.name, self.seen, self.rest = name, [], b''
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)

    def command(self, text):
        self.process.stdin.write(text.encode() + b'\n')
        self.process.stdin.flush()

    def pump(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return
        data = self.process.stdout.read() or b''
        if not data and self.process.poll() is not None:
            raise AssertionError(f'{self.name} ended')
        *lines, self.rest = (self.rest + data).split(b'\n')
        self.seen += [line.decode(errors='replace') for line in lines]

    def wait(self, text, seconds=30, since=0):
        end = time.monotonic() + seconds
        while True:
            for number, line in enumerate(self.seen[since:], since):
                if text in line:
                    return number + 1
            if time.monotonic() > end:
                raise AssertionError(f'{self.name}: no "{text}" within {seconds} s')
            self.pump(0.1)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        print(f'--- {self.name}')
        print('\n'.join(self.seen), (self.process.stdout.read() or b'').decode(errors='replace'))


@contextlib.contextmanager
def network(rewrite):
    try:
        for name in (NS_OURS, NS_THEIRS):
            run('ip', 'netns', 'add', name)
            run('ip', '-n', name, 'link', 'set', 'lo', 'up')
        run('ip', '-n', NS_OURS, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0',
            'netns', NS_THEIRS)
        for name, address in ((NS_OURS, OURS), (NS_THEIRS, THEIRS)):
            run('ip', '-n', name, 'address', 'add', f'{address}/24', 'dev', 'up0')
            run('ip', '-n', name, 'link', 'set', 'up0', 'up')
        if rewrite:
            rules = ('table ip ports {\n'
                     'chain in { type filter hook prerouting priority -300;\n'
                     'udp dport 848 udp dport set 500; udp sport 848 udp sport set 500; }\n'
                     'chain out { type filter hook output priority -300;\n'
                     'udp sport 500 udp sport set 848; udp dport 500 udp dport set 848; }\n}\n')
            subprocess.run(['ip', 'netns', 'exec', NS_THEIRS, 'nft', '-f', '-'], check=True,
                           input=rules.encode(), timeout=30)
        yield
    finally:
        for name in (NS_OURS, NS_THEIRS):
            run('ip', 'netns', 'del', name, check=False)


class Pki:
    """A root, an intermediate, and end certificates of one kind of key, by openssl."""

    def __init__(self, folder, kind='rsa'):
        self.folder = folder
        self.kind = kind
        self.authority('root', None)
        self.authority('middle', 'root')
        self.leaf('ours', 'root', OURS)
        self.leaf('theirs', 'root', THEIRS)
        self.leaf('branch', 'middle', OURS)

    def path(self, name):
        return os.path.join(self.folder, name)

    def new_key(self, name):
        if self.kind == 'rsa':
            run('openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048',
                '-out', self.path(f'{name}.key'))
        else:
            run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt',
                f'ec_paramgen_curve:{self.kind}', '-out', self.path(f'{name}.key'))

    def sign(self, name, issuer, extensions):
        self.new_key(name)
        config = self.path(f'{name}.ext')
        with open(config, 'w', encoding='utf-8') as out:
            out.write(extensions)
        run('openssl', 'req', '-new', '-key', self.path(f'{name}.key'), '-subj',
            f'/O=cohort interop/OU=GETVPN/CN={name}', '-out', self.path(f'{name}.csr'))
        signer = (['-CA', self.path(f'{issuer}.crt'), '-CAkey', self.path(f'{issuer}.key'),
                   '-CAcreateserial'] if issuer else ['-signkey', self.path(f'{name}.key')])
        run('openssl', 'x509', '-req', '-in', self.path(f'{name}.csr'), '-days', '30', *signer,
            '-extfile', config, '-out', self.path(f'{name}.crt'))

    def authority(self, name, issuer):
        self.sign(name, issuer, 'basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n'
                  'keyUsage=critical,keyCertSign,cRLSign\n')

    def leaf(self, name, issuer, address):
        self.sign(name, issuer, 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n'
                  f'subjectAltName=IP:{address},DNS:{name}.example\n')

    def for_us(self, name='ours', chain=()):
        words = ['--cert', self.path(f'{name}.crt'), '--key', self.path(f'{name}.key'),
                 '--trust', self.path('root.crt')]
        for above in chain:
            words += ['--chain', self.path(f'{above}.crt')]
        return words
