"""Traffic flows through a TEK rekey, a KEK rekey and a change of policy, and none of it is lost."""

from lab import configs, scenario, traffic
from lab.namespaces import wait_for
from lab.seed_lab import SeedLab, only_esp
from lab.topology import SITE1, SITE2



def undisturbed(seed, check, what, act):
    """Runs act() in the middle of numbered datagrams, there and back."""
    tap = seed.tap()
    stream = traffic.Stream(seed.h1, seed.h2, SITE2.host_ip, packets_per_second=1000).flow(0.5)
    before = seed.gm1.sending()
    act()
    after = seed.gm1.sending()
    seen = stream.flow(1).stop()
    other = only_esp(seed.between_sites(tap.stop()))
    check(f"{what}: the members send with other keys than before",
          after and not set(before) & set(after), (before, after))
    check(f"{what}: nothing is lost, nothing is doubled",
          seen["sent"] > 500 and not seen["lost"] and not seen["duplicates"],
          {**seen, "drops": [seed.gm1.drops(), seed.gm2.drops()]})
    check(f"{what}: nothing crosses the WAN in clear", not other, other)


def change_policy(seed):
    """Another suite and another line, by a reload of the key server's file."""
    before = {spi for member in (seed.gm1, seed.gm2) for spi in member.sending()}
    seed.ks.configuration["profiles"]["gdoi-profile"]["transform"] = "aes-256-cbc-hmac-sha256"
    seed.ks.configuration["access_lists"]["data_plane"] += configs.ACCESS_LIST_6
    seed.ks.write()
    seed.ks.ask("reload")
    wait_for(lambda: all(len(member.group()["acl"]) == 4 and member.sending()
                         and not before & set(member.sending())
                         for member in (seed.gm1, seed.gm2)), 60, "change to the new policy")


def body(lab, check):
    seed = SeedLab(lab).up()
    kek = seed.gm1.group()["kek"]["spi"]
    undisturbed(seed, check, "TEK rekey", seed.rekey)
    undisturbed(seed, check, "second TEK rekey", seed.rekey)
    undisturbed(seed, check, "KEK rekey", lambda: seed.rekey(kek=True))
    check("KEK rekey: the members hold another KEK", seed.gm1.group()["kek"]["spi"] != kek)
    undisturbed(seed, check, "policy change", lambda: change_policy(seed))
    suites = {tek["suite"] for tek in seed.gm1.group()["teks"] if tek["sending"]}
    check("policy change: the new suite is in use", suites == {"aes-256-cbc-hmac-sha256"}, suites)
    rekeys = seed.gm1.group()["rekeys"]
    check("rekeys came by GROUPKEY-PUSH and were acknowledged; nobody registered again",
          rekeys["received"] >= 4 and rekeys["acks_sent"] >= 4
          and seed.gm1.group()["registration"]["succeeded"] == 1, seed.gm1.group())
    answered = seed.ping(SITE1.host_ip, source=seed.h2)
    check("afterwards pings are answered", answered == 5, answered)


scenario.run(body)
