"""The daemons' configuration files for the seed lab, as values that a scenario may change."""

from lab.topology import CA_NODE, address_of

GROUP, IDENTITY, TRUSTPOINT = "GETVPN", 484, "GETVPN"
SIGNING_KEY = "getKey"
CHALLENGE = "lab-challenge"

ACCESS_LIST = ["10 permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255",
               "20 permit ip 172.16.0.0 0.0.255.255 10.0.0.0 0.0.0.255"]
ACCESS_LIST_6 = ["30 permit ipv6 fd00:10::/64 fd00:172::/64",
                 "40 permit ipv6 fd00:172::/64 fd00:10::/64"]

KEY_SERVERS, PRIORITIES = ("ks1", "ks2"), {"ks1": 100, "ks2": 75}
# How key servers watch each other. The product's defaults are the guide's: 20, 30 and 60 seconds.
SHORT_TIMERS = {"announce": "250ms", "silent": "500ms", "dead": "1500ms"}


def _common(node, hostname):
    return {
        "hostname": hostname,
        "state_directory": str(node.folder / "state"),
        "runtime_directory": str(node.memory),
        "logging": {"level": "informational", "event_log": str(node.folder / "events.json")},
        "admin": {"socket": str(node.folder / "admin.sock")},
    }


def _enrolled(node, hostname, unit, fingerprint):
    """What a key server and a member share: a key pair, a trustpoint, phase 1."""
    return {
        **_common(node, hostname),
        "keys": {"pkikey": {"type": "rsa", "modulus": 2049}},
        "trustpoints": {TRUSTPOINT: {
            "key": "pkikey",
            "enrollment_url": f"http://{address_of(CA_NODE)}:80",
            "subject_name": f"OU={unit}",
            "ca_fingerprint_sha256": fingerprint,
            "challenge_password": CHALLENGE,
            "revocation_check": "none",
            "auto_enroll_percent": 70,
            "retry_interval": "1s",
        }},
        "isakmp": {
            "policies": [{"encryption": "aes-256", "hash": "sha256", "group": 14,
                          "authentication": "rsa-sig", "lifetime": "3600s"}],
            "keepalive": {"mode": "periodic", "interval": "15s"},
            "retransmit_tries": 3,
        },
    }


def certificate_authority(node):
    return {
        **_common(node, "CA"),
        "certificate_authority": {
            "name": "ca-server",
            "listen": f"{address_of(CA_NODE)}:80",
            "issuer_name": "CN=Root-CA.example.org,OU=LAB",
            "grant": "auto",
            "modulus": 2048,
            "lifetime_certificate": "5000d",
            "lifetime_ca_certificate": "7300d",
            "challenge_passwords": [CHALLENGE],
        },
    }


def key_server(node, fingerprint, transform="aes-256-gcm", acl=tuple(ACCESS_LIST), rekey=None):
    """Rekeys by the operator's word here: the lifetimes are the seed lab's."""
    return {
        **_enrolled(node, f"get-{node.name.upper()}", "GETVPN_KS", fingerprint),
        "keys": {"pkikey": {"type": "rsa", "modulus": 2049},
                 SIGNING_KEY: {"type": "rsa", "modulus": 2048, "exportable": True}},
        "access_lists": {"data_plane": list(acl)},
        "profiles": {"gdoi-profile": {"transform": transform, "lifetime": "7200s",
                                      "replay": "counter", "replay_window": 64}},
        "key_server": {
            "address": address_of(node.name),
            "trustpoint": TRUSTPOINT,
            "groups": [{
                "name": GROUP,
                "identity": IDENTITY,
                "rekey": {"signing_key": SIGNING_KEY, "lifetime": "86400s", "transport": "unicast",
                          "retransmit_interval": "40s", "retransmit_number": 2, **(rekey or {})},
                "sas": [{"number": 10, "access_list": "data_plane", "profile": "gdoi-profile"}],
                "authorization": [{"organizational_unit": "GETVPN_GM"}],
                # The lab does not want to wait half a minute for each rekey to take effect.
                "activation_delay": "2s",
                "deactivation_delay": "5s",
            }],
        },
    }


def redundancy(name, timers):
    """The other key servers of a group, for the key server of that name."""
    return {"local_priority": PRIORITIES[name],
            "peers": [address_of(other) for other in KEY_SERVERS if other != name],
            "authorization": [{"organizational_unit": "GETVPN_KS"}], **timers}


def group_member(node, fingerprint, servers=("ks1",)):
    return {
        **_enrolled(node, f"get-{node.name.upper()}", "GETVPN_GM", fingerprint),
        "lab": {"export_keys": True},
        "group_member": {
            "address": address_of(node.name),
            "trustpoint": TRUSTPOINT,
            "groups": [{"name": GROUP, "identity": IDENTITY, "port_pair": "wan",
                        "servers": [address_of(name) for name in servers], "fail_close": True}],
        },
        "dataplane": {
            "hugepages": False,
            "memory_mb": 128,
            "file_prefix": f"{node.lab.name}-{node.name}",
            "port_pairs": {"wan": {"inside": "net_tap0,iface=inside",
                                   "outside": "net_tap1,iface=outside",
                                   "punt": "net_tap2,iface=punt"}},
        },
    }
