"""Who must not join does not, and the reason is said: a certificate of the wrong unit, a
certificate of another authority, an authority whose fingerprint is not what the operator was told.
"""

import shutil

from lab import configs, scenario, topology
from lab.daemons import Daemon
from lab.namespaces import wait_for
from lab.seed_lab import SeedLab


def fresh_member(seed, change):
    """gm2 again, as a machine that was never here."""
    if seed.gm2:
        seed.gm2.stop()
        shutil.rmtree(seed.gm2.configuration["state_directory"])
    seed.gm2 = seed.start_member("gm2", change)


def wrong_unit(seed, check):
    def change(configuration):
        configuration["trustpoints"][configs.TRUSTPOINT]["subject_name"] = "OU=VISITORS"
    fresh_member(seed, change)
    seed.await_enrolled(seed.gm2)
    wait_for(lambda: seed.ks.events("UNAUTHORIZED_IDENTITY"), 60, "refusal at the key server")
    wait_for(lambda: seed.gm2.group()["registration"]["last_failure"], 60, "reason at the member")
    event = seed.ks.events("UNAUTHORIZED_IDENTITY")[-1]
    check("wrong unit: the key server refuses the identity and names it",
          "VISITORS" in str(event["fields"]), event)
    check("wrong unit: the member is not registered and has no key",
          not seed.gm2.registered() and not seed.gm2.group()["teks"], seed.gm2.group())


def other_authority(seed, check):
    node = seed.lab.nodes["ks2"]  # an unused machine
    configuration = configs.certificate_authority(node)
    configuration["certificate_authority"]["listen"] = f"{topology.address_of('ks2')}:80"
    configuration["certificate_authority"]["issuer_name"] = "CN=Other-CA"
    other = Daemon(node, configuration).start()

    def change(member):
        trustpoint = member["trustpoints"][configs.TRUSTPOINT]
        trustpoint["enrollment_url"] = f"http://{topology.address_of('ks2')}:80"
        trustpoint["ca_fingerprint_sha256"] = other.ask("show crypto pki server")[
            "fingerprint_sha256"]
    before = seed.ks.refusals()
    fresh_member(seed, change)
    seed.await_enrolled(seed.gm2)
    wait_for(lambda: seed.gm2.group()["registration"]["attempted"], 60, "an attempt to register")
    wait_for(lambda: seed.ks.refusals() != before or seed.gm2.refusals(), 60, "a refusal")
    check("other authority: phase 1 is refused by a name, and nobody registers",
          not seed.gm2.registered() and not seed.gm2.group()["teks"],
          (seed.ks.refusals(), seed.gm2.refusals()))
    other.stop()


def wrong_fingerprint(seed, check):
    def change(configuration):
        configuration["trustpoints"][configs.TRUSTPOINT]["ca_fingerprint_sha256"] = "ab" * 32
    fresh_member(seed, change)

    def refused():
        """The last error, once it is not that the authority can't be reached yet."""
        text = seed.gm2.ask("pki progress", trustpoint=configs.TRUSTPOINT)["last_error"] or ""
        plain = text.replace(":", "").replace(" ", "").lower()
        return plain if "ab" * 32 in plain else None
    text = wait_for(refused, 60, "refusal of the authority that says what was expected")
    real = seed.fingerprint.replace(":", "").replace(" ", "").lower()
    check("wrong fingerprint: the refusal says both values", real in text, text)
    check("wrong fingerprint: there is no certificate", not seed.gm2.enrolled())


def body(lab, check):
    seed = SeedLab(lab, key_servers=2)
    seed.start_authority()
    seed.start_key_server()
    seed.gm1 = seed.start_member("gm1")
    seed.await_registered(seed.gm1)
    wrong_unit(seed, check)
    other_authority(seed, check)
    wrong_fingerprint(seed, check)
    fresh_member(seed, lambda configuration: None)
    seed.await_registered(seed.gm2)
    answered = seed.ping(count=5)
    check("with the right certificate the same machine joins, and traffic flows", answered == 5,
          answered)


scenario.run(body)
