"""Traffic flows through a TEK rekey, a KEK rekey and a change of policy, and none of it is lost."""

from lab import configs, scenario
from lab.seed_lab import SeedLab
from lab.topology import SITE1
from lab.under_traffic import apply_policy, undisturbed

# The same networks in other words, and one that is left out.
ANOTHER_LIST = ["10 deny tcp 10.0.0.0 0.0.0.255 172.16.9.0 0.0.0.255",
                "20 deny tcp 172.16.9.0 0.0.0.255 10.0.0.0 0.0.0.255",
                "30 permit ip 10.0.0.0 0.0.0.127 172.16.0.0 0.0.255.255",
                "40 permit ip 172.16.0.0 0.0.255.255 10.0.0.0 0.0.0.127",
                "50 permit ip 10.0.0.128 0.0.0.127 172.16.0.0 0.0.255.255",
                "60 permit ip 172.16.0.0 0.0.255.255 10.0.0.128 0.0.0.127"]


def change_suite_and_list(seed):
    """Another suite and another line, by a reload of the key server's file."""
    seed.ks.configuration["profiles"]["gdoi-profile"]["transform"] = "aes-256-cbc-hmac-sha256"
    seed.ks.configuration["access_lists"]["data_plane"] += configs.ACCESS_LIST_6
    apply_policy(seed, 4)


def change_list(seed):
    """Another access list and nothing else."""
    seed.ks.configuration["access_lists"]["data_plane"] = ANOTHER_LIST
    apply_policy(seed, len(ANOTHER_LIST))


def body(lab, check):
    seed = SeedLab(lab).up()
    kek = seed.gm1.group()["kek"]["spi"]
    undisturbed(seed, check, "TEK rekey", seed.rekey)
    undisturbed(seed, check, "second TEK rekey", seed.rekey)
    undisturbed(seed, check, "KEK rekey", lambda: seed.rekey(kek=True))
    check("KEK rekey: the members hold another KEK", seed.gm1.group()["kek"]["spi"] != kek)
    undisturbed(seed, check, "policy change", lambda: change_suite_and_list(seed))
    suites = {tek["suite"] for tek in seed.gm1.group()["teks"] if tek["sending"]}
    check("policy change: the new suite is in use", suites == {"aes-256-cbc-hmac-sha256"}, suites)
    undisturbed(seed, check, "another access list", lambda: change_list(seed))
    rekeys = seed.gm1.group()["rekeys"]
    check("rekeys came by GROUPKEY-PUSH and were acknowledged; nobody registered again",
          rekeys["received"] >= 5 and rekeys["acks_sent"] >= 5
          and seed.gm1.group()["registration"]["succeeded"] == 1, seed.gm1.group())
    answered = seed.ping(SITE1.host_ip, source=seed.h2)
    check("afterwards pings are answered", answered == 5, answered)


scenario.run(body)
