#!/usr/bin/python3
"""Prints the known answers of tests/unit/coop/key_schedule_test.cpp: section 7.1 of
docs/coop-protocol.md written a second time, from the document."""

import hashlib
import hmac


def expand(prk, info, length):
    out, block = b"", b""
    for counter in range(1, 256):
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
        if len(out) >= length:
            return out[:length]


def main():
    line = hashlib.sha256(b"sa 10").digest()[:16]
    suite, base = 2, 0xFFFFFFFE
    secrets = [bytes([7]) * 32]
    for _ in range(3):
        secrets.append(expand(secrets[-1], b"cohort coop v1 next" + line, 32))
    print("line", line.hex())
    for generation in (0, 3):
        key = expand(secrets[generation], b"cohort coop v1 key" + line + bytes([suite]), 36)
        print("key", generation, key.hex())
        print("spi", generation, 256 + (base + generation) % (2**32 - 256))
    print("kek spi", 3, expand(secrets[3], b"cohort coop v1 spi" + line, 16).hex())


main()
