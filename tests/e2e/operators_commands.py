"""What an operator types: enrolment with questions, a wrong challenge
password, a request that waits through a crash of both sides, is rejected, forgotten and granted;
key pairs out and in; debugging while it runs; the authority's backup; a reload that is refused."""

import json
import pathlib
import subprocess

from lab import configs, daemons, scenario, topology
from lab.daemons import Daemon, KeyServer
from lab.namespaces import wait_for
from lab.seed_lab import SeedLab

COHORT = "controlplane/daemon/cohort"
COHORTD = "controlplane/daemon/cohortd"


def operate(daemon, *words, answers=()):
    """Runs `cohort`, answering its questions. Returns its status and all that it printed."""
    done = subprocess.run([daemons.BUILD / COHORT, "--socket", daemon.socket, *map(str, words)],
                          input="".join(line + "\n" for line in answers), text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def state_of(daemon):
    return daemon.ask("pki progress", trustpoint=configs.TRUSTPOINT)["state"]


def enrol(seed, check):
    """By questions, with the authority's operator in no hurry."""
    enroll = ("crypto", "pki", "enroll", configs.TRUSTPOINT)
    wait_for(lambda: state_of(seed.ks) == "decision", 30, "question about the authority")
    status, said = operate(seed.ks, *enroll, answers=("yes", "a guess", "a guess", "no", "", "no"))
    check("who asks for no certificate in the end has sent and accepted nothing",
          status == 1 and "Nothing was sent" in said and state_of(seed.ks) == "decision", said)
    status, said = operate(seed.ks, *enroll, answers=("yes", "a guess", "a guess", "no", "", "yes"))
    check("a wrong challenge password is refused with the authority's sentence",
          status == 1 and "the challenge password is missing or wrong" in said, said)
    wait_for(lambda: state_of(seed.ks) == "retry", 30, "end of the attempt")
    # The guide's questions in the guide's order; an empty address is the machine's own.
    status, said = operate(seed.ks, *enroll, answers=(configs.CHALLENGE, configs.CHALLENGE, "yes",
                                                      "9KSX4711", "yes", "", "yes"))
    check("the next enrolment asks for the password again, and the request waits",
          status == 0 and "waits for the authority's operator" in said, said)
    subject = seed.ca.ask("pki server requests")[0]["subject"]
    check("serial number and address are in the subject because the operator said so",
          f"serialNumber=9KSX4711,unstructuredAddress={topology.address_of('ks1')}" in subject,
          subject)
    number = seed.ca.ask("pki server requests")[0]["id"]
    seed.ca.ask("pki server reject", request=number)
    wait_for(lambda: state_of(seed.ks) == "retry", 30, "word of the rejection")
    status, said = operate(seed.ca, "pki", "server", "forget", number)
    check("a rejection can be forgotten", status == 0 and not seed.ca.ask("pki server requests"),
          said)
    operate(seed.ks, *enroll, answers=(configs.CHALLENGE, configs.CHALLENGE, "no", "no", "yes"))
    wait_for(lambda: state_of(seed.ks) in ("pending", "poll"), 30, "the request once more")
    for daemon in (seed.ks, seed.ca):
        daemon.kill()
    seed.ca.start()
    seed.ks.start()
    number = seed.ca.ask("pki server requests")[0]["id"]
    status, said = operate(seed.ca, "pki", "server", "grant", number)
    check("the request outlives a crash of both and is granted",
          status == 0 and "unstructuredName=get-KS1" in said, said)
    seed.await_enrolled(seed.ks)
    shown = seed.ks.cohort("show", "crypto", "pki", "certificates", "verbose", configs.TRUSTPOINT)
    check("the certificate is shown with the time it was installed and where it is",
          "Cert install time: unknown" not in shown and "Cert install time: " in shown and
          all(pathlib.Path(line.split(": ")[1]).is_file() for line in shown.splitlines()
              if line.startswith("  Storage: ")), shown)


def keys(seed, check, folder):
    passphrase, plain, sealed = folder / "passphrase", folder / "plain.pem", folder / "sealed.pem"
    passphrase.write_text("cisco12345\n", encoding="utf-8")
    subprocess.run(["openssl", "genrsa", "-out", plain, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", plain, "-traditional", "-des3", "-passout",
                    f"file:{passphrase}", "-out", sealed], check=True, capture_output=True)
    # As long as the PEM of a key of 8192 bits: people put a word about it above.
    sealed.write_text("about this key\n" * 400 + sealed.read_text(encoding="utf-8"),
                      encoding="utf-8")
    with_passphrase = ("--passphrase-file", passphrase)
    status, said = operate(seed.ks, "crypto", "key", "import", "old", "--file", sealed,
                           *with_passphrase)
    check("a traditional PEM (Proc-Type, 3DES) is read, however long", status == 0, said)
    for words, refusal in ((("export", "old", *with_passphrase), "key_not_exportable"),
                           (("export", configs.SIGNING_KEY, "--form", "3des", *with_passphrase),
                            "allow_weak"),
                           (("generate", "--label", "short", "--modulus", 1024), "allow_weak"),
                           (("remove", configs.SIGNING_KEY), "rekeys of group GETVPN")):
        status, said = operate(seed.ks, "crypto", "key", *words)
        check(f"crypto key {' '.join(map(str, words[:2]))}: refused ({refusal})",
              status == 1 and refusal in said, said)


def restore(seed, check, folder):
    passphrase, archive = folder / "passphrase", folder / "ca.p12"
    status, said = operate(seed.ca, "pki", "server", "backup", archive, "--passphrase-file",
                           passphrase)
    check("the authority's key is written as PKCS #12", status == 0 and archive.is_file(), said)
    seed.ca.stop()
    again = configs.certificate_authority(seed.ca.node)
    again["state_directory"] = str(folder / "again")
    seed.ca = Daemon(seed.ca.node, again)
    seed.ca.write()
    told = seed.ca.node.attempt(daemons.BUILD / COHORTD, seed.ca.file, "--restore-ca", archive)
    check("a restore without the passphrase's file says that it wants one",
          told.returncode != 0 and "--passphrase-file" in told.stderr, told.stderr)
    seed.ca.node.run(daemons.BUILD / COHORTD, seed.ca.file, "--restore-ca", archive,
                     "--passphrase-file", passphrase)
    seed.ca.start()
    server = seed.ca.ask("show crypto pki server")
    check("restored: the same fingerprint", server["fingerprint_sha256"] == seed.fingerprint,
          server)
    seed.ks.ask("pki renew", trustpoint=configs.TRUSTPOINT)
    wait_for(lambda: seed.ca.ask("pki server certificates"), 30, "renewal at the restored one")
    check("restored: a certificate of before renews by itself", True)


def debugging(seed, check):
    """The categories of the guide, one by one, and no secret whatever is on."""
    categories = [row["name"] for row in seed.ks.ask("debug list")]
    check("debug categories are those of the guide, and more",
          {"crypto gdoi ks coop"} | {f"crypto pki {name}" for name in (
              "messages", "transactions", "validation", "api", "callback")} <= set(categories),
          categories)
    traces = lambda: [line for line in seed.ks.log_lines("TRACE") if "crypto pki" in line]
    quiet = len(traces())
    for name in categories:
        operate(seed.ks, "debug", "on", *name.split())
    seed.ks.ask("pki renew", trustpoint=configs.TRUSTPOINT)
    wait_for(lambda: state_of(seed.ks) == "enrolled", 30, "end of the renewal")
    loud = traces()
    check("switched on they speak at once", len(loud) > quiet, loud)
    operate(seed.ks, "debug", "off", "all")
    check("switched off they are silent",
          not any(row["on"] for row in seed.ks.ask("debug list")) and len(traces()) == len(loud))
    check("no log holds the challenge password",
          not any(configs.CHALLENGE in process.output() for process in seed.lab.processes))


def refused_reload(seed, check):
    wrong = json.loads(json.dumps(seed.ks.configuration))
    wrong["access_lists"]["data_plane"][0] = "10 permit ip 10.0.0 0.0.0.255 any"
    seed.ks.file.write_text(json.dumps(wrong), encoding="utf-8")
    before = seed.ks.policy()["acl"]
    status, said = operate(seed.ks, "reload")
    check("a reload with the guide's slip says where and why, and changes nothing",
          status == 1 and "/access_lists/data_plane/0" in said and "write all four" in said and
          seed.ks.policy()["acl"] == before, said)


def body(lab, check):
    seed = SeedLab(lab)
    node = lab.nodes["ca"]
    configuration = configs.certificate_authority(node)
    configuration["certificate_authority"]["grant"] = "manual"
    seed.ca = Daemon(node, configuration).start()
    seed.fingerprint = seed.ca.ask("show crypto pki server")["fingerprint_sha256"]
    configuration = configs.key_server(lab.nodes["ks1"], seed.fingerprint)
    trustpoint = configuration["trustpoints"][configs.TRUSTPOINT]
    for key in ("ca_fingerprint_sha256", "challenge_password"):
        del trustpoint[key]
    trustpoint["poll_interval"] = "1s"
    seed.ks = KeyServer(lab.nodes["ks1"], configuration).start()
    folder = lab.folder / "operator"
    folder.mkdir()
    enrol(seed, check)
    keys(seed, check, folder)
    debugging(seed, check)
    restore(seed, check, folder)
    refused_reload(seed, check)


scenario.run(body)
