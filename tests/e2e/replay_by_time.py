"""Anti-replay by time: a captured ESP packet comes again, within the window and after it; policy
and keys change under traffic meanwhile."""

import socket
import struct

from lab import capture, hostile, scenario
from lab.namespaces import wait_for
from lab.seed_lab import SeedLab
from lab.topology import SITE1
from lab.under_traffic import apply_policy, undisturbed


def choose(seed, window):
    profile = seed.ks.configuration["profiles"]["gdoi-profile"]
    profile.pop("replay_window", None)
    profile.update({"replay": "time", "replay_time_window": window})
    apply_policy(seed, len(seed.gm1.group()["acl"]))


def group_time(member):
    return member.group()["time"]["group_time_ms"]


def captured(seed):
    """Ping's ESP packets to the first site, as they crossed the WAN."""
    tap = seed.tap()
    seed.ping(count=5)
    tap.stop()
    return [frame for frame in capture.raw_frames(tap.path)
            if frame[12:14] == b"\x08\x00" and frame[23] == capture.ESP
            and socket.inet_ntoa(frame[30:34]) == SITE1.host_ip]


def send_again(seed, frames):
    """How many were dropped, by reason, and how many were decrypted beside the pings that show that
    all have been worked on."""
    def counters():
        pair = seed.gm1.ask("show dataplane counters")[0]
        return pair["drops"], pair["forwards"]["decrypted"]
    drops, decrypted = counters()
    hostile.frames(seed.wan, SITE1.member, frames)
    pings = seed.ping(count=3)
    drops_then, decrypted_then = counters()
    grown = {reason: count - drops[reason] for reason, count in drops_then.items()
             if count > drops[reason]}
    return grown, decrypted_then - decrypted - pings


def body(lab, check):
    seed = SeedLab(lab).up()
    undisturbed(seed, check, "from counters to time", lambda: choose(seed, "60s"))
    check("the members say which anti-replay they have",
          {tek["replay"] for tek in seed.gm1.group()["teks"] if tek["sending"]} == {"time"}
          and "Anti-Replay(Time Based) : 60.000 sec" in seed.gm1.cohort("show", "crypto", "gkm",
                                                                        "group"))
    apart = abs(group_time(seed.gm1) - group_time(seed.gm2))
    check("the members' clocks of the group agree", apart < 2000, f"{apart} ms")
    undisturbed(seed, check, "rekey by time", seed.rekey)

    frames = captured(seed)
    grown, again = send_again(seed, frames)
    check("within the window a copy is accepted, as documented", len(frames) >= 5
          and again == len(frames) and not grown, (len(frames), again, grown))
    early = [bytearray(frame) for frame in frames]
    for frame in early:  # a minute and more ahead
        tick, = struct.unpack_from(">I", frame, 14 + 20 + 4)
        struct.pack_into(">I", frame, 14 + 20 + 4, (tick + 20_000) & 0xffffffff)
    grown, again = send_again(seed, [bytes(frame) for frame in early])
    check("what is ahead of the time is dropped by name",
          grown == {"replay_in_future": len(early)} and again == 0, (grown, again))

    undisturbed(seed, check, "a shorter window", lambda: choose(seed, "1s"))
    frames = captured(seed)
    taken = group_time(seed.gm1)
    wait_for(lambda: group_time(seed.gm1) > taken + 3000, 30, "end of the window")
    grown, again = send_again(seed, frames)
    check("after the window a copy is dropped by name",
          grown == {"replay_too_old": len(frames)} and again == 0, (grown, again))
    check("nobody registered again", seed.gm1.group()["registration"]["succeeded"] == 1
          and seed.gm2.group()["registration"]["succeeded"] == 1)


scenario.run(body)
