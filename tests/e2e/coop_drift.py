"""The policies of the key servers differ: both say in what, entry by entry, and the one that
is not as the primary is does not become primary, whatever its priority, until it is put right."""

import copy

from lab import configs, scenario
from lab.coop_lab import CoopLab, Watch
from lab.namespaces import wait_for
from lab.topology import address_of

LINE = "30 permit ip 10.0.0.0 0.0.0.255 192.168.7.0 0.0.0.255"


def mismatches(server):
    return {event["fields"]["name"] for event in server.events("COOP_CONFIG_MISMATCH")}


def differences(server):
    return {one["name"] for peer in server.coop()["peers"] for one in peer["differences"]}


def elected(seed):
    """Who is primary after an election at the operator's word."""
    before = seed.primary().coop()["elections"]
    asked = seed.primary()
    asked.ask("coop elect", group=configs.GROUP)
    wait_for(lambda: asked.coop()["elections"] > before, 60, "election")
    seed.await_reachable()
    return seed.primary()


def drifts(seed, check, best, other):
    right = copy.deepcopy(best.configuration)
    best.stop()
    wait_for(lambda: other.role() == "Primary", 60, "takeover by the other key server")
    best.configuration["access_lists"]["data_plane"].append(LINE)
    best.configuration["profiles"]["gdoi-profile"]["lifetime"] = "3600s"
    best.start()
    seed.await_reachable()
    wanted = {"sa 10 acl 3", "sa 10 lifetime"}
    for server in (best, other):
        wait_for(lambda: mismatches(server) >= wanted and differences(server) >= wanted, 60,
                 f"report of the difference at {server.node.name}")
    check("both key servers report COOP_CONFIG_MISMATCH: the line and the lifetime", True)
    text = other.cohort("show", "crypto", "gkm", "ks", "coop")
    check("show … coop names both values", "192.168.7.0" in text and "3600" in text, text)
    check("the one that differs stays secondary when it is elected anew, despite its priority",
          elected(seed) is other, seed.roles())
    best.configuration = right
    best.write()
    best.ask("reload")
    for server in (best, other):
        wait_for(lambda: server.events("COOP_CONFIG_MATCH") and not differences(server), 60,
                 f"COOP_CONFIG_MATCH at {server.node.name}")
    check("put right by a reload, both report COOP_CONFIG_MATCH", True)
    check("and the next election makes it primary again", elected(seed) is best, seed.roles())


def body(lab, check):
    seed = CoopLab(lab).up()
    watch = Watch(seed)
    best, other = seed.ks1, seed.ks2
    check(f"{address_of('ks1')} has the higher priority",
          best.coop()["local_priority"] > other.coop()["local_priority"])
    drifts(seed, check, best, other)
    seed.await_together()
    seed.rekey()
    watch.verdict(check, "drift, elections and repair")


scenario.run(body)
