"""Certificates that live for twenty seconds renew themselves at 70 % of it, at the key server
and at the members, with traffic flowing: no packet is lost, no session ends, nobody registers
again; and what is registered for later is proven by the new certificates."""

import time

from lab import scenario, traffic
from lab.namespaces import wait_for
from lab.seed_lab import SeedLab
from lab.topology import SITE2

LIFE = 20
RENEWALS = 2  # of each machine while traffic flows


def short(configuration):
    configuration["certificate_authority"]["lifetime_certificate"] = f"{LIFE}s"


def serials(seed):
    return {daemon.node.name: daemon.certificate()["serial"]
            for daemon in (seed.ks, seed.gm1, seed.gm2)}


def renewed(seed, times):
    """Waits until each machine has had so many other certificates, while traffic flows."""
    had = {name: [serial] for name, serial in serials(seed).items()}

    def look():
        for name, serial in serials(seed).items():
            if serial != had[name][-1]:
                had[name].append(serial)
        return all(len(one) > times for one in had.values())
    began = time.monotonic()
    wait_for(look, 3 * LIFE * times, "renewal of each certificate")
    return time.monotonic() - began, had


def body(lab, check):
    seed = SeedLab(lab)
    seed.start_authority(short)
    seed.start_key_server()
    seed.start_members()
    for member in (seed.gm1, seed.gm2):
        seed.await_registered(member)
    seed.warm_up()
    sessions = {daemon.node.name: daemon.ask("show crypto isakmp sa")
                for daemon in (seed.gm1, seed.gm2)}
    stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip)
    took, had = renewed(seed, RENEWALS)
    seen = stream.stop()
    check("each machine renews again and again, at 70 % of the life", took < 2 * LIFE * RENEWALS,
          (took, had))
    check("no datagram is lost meanwhile", not seen["lost"] and not seen["duplicates"], seen)
    for member in (seed.gm1, seed.gm2):
        check(f"{member.node.name} has registered once, in the phase 1 of before",
              member.group()["registration"]["succeeded"] == 1 and
              [sa["remote"] for sa in member.ask("show crypto isakmp sa")]
              == [sa["remote"] for sa in sessions[member.node.name]], member.group())
        check(f"{member.node.name} says so in its log", member.log_lines("CERT_RENEW_AUTO"))
    requests = seed.ca.ask("pki server requests")
    check("the authority saw renewals, signed by the certificates before",
          sum(request["renewal"] for request in requests) >= 3 * RENEWALS, requests)
    seed.gm2.kill()
    seed.gm2.start()
    seed.await_registered(seed.gm2)
    check("a member registers anew with its renewed certificate", True)


scenario.run(body)
