"""The sites' IPv6 is protected like their IPv4, by lines of the same access list."""

from lab import capture, configs, scenario
from lab.seed_lab import SeedLab, only_esp
from lab.topology import SITE2


def body(lab, check):
    seed = SeedLab(lab).up(acl=configs.ACCESS_LIST + configs.ACCESS_LIST_6)
    seed.warm_up(SITE2.host_ip6)
    tap = seed.tap()
    answered = seed.ping(SITE2.host_ip6, count=10)
    check("every ping over IPv6 is answered", answered == 10, answered)
    for back in (False, True):
        outcome = seed.transfer(back=back, six=True)
        check(f"TCP over IPv6 {'to h1' if back else 'to h2'} is intact", outcome["intact"], outcome)
    # In IPv6 only the hosts fragment: each learns the path's MTU from its first that is too big.
    seed.h1.attempt("ping", "-n", "-c", "3", "-W", "1", "-i", "0.3", "-s", "3000", SITE2.host_ip6)
    done = seed.h1.attempt("ping", "-n", "-c", "3", "-i", "0.1", "-s", "3000", SITE2.host_ip6)
    check("pings of 3000 octets over IPv6 are answered", " 0% packet loss" in done.stdout,
          done.stdout)
    other = only_esp(seed.between_sites(tap.stop(), six=True))
    check("the WAN sees ESP only, between the hosts' IPv6 addresses", not other, other)
    clear = capture.decrypt(tap.path, seed.gm1.esp_sa(), "icmpv6 && esp.icv_good == 1")
    check("tshark decrypts and authenticates the pings", len(clear) >= 20, f"{len(clear)} packets")
    answered = seed.ping(count=5)
    check("IPv4 works beside it", answered == 5, answered)


scenario.run(body)
