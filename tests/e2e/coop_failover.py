"""kill -9 of the primary key server with traffic flowing: the other takes over with the same keys
and rekeys, a member goes on to the next server of its list, and the one that died comes back as a
secondary."""

from lab import configs, scenario
from lab.coop_lab import CoopLab, Watch
from lab.namespaces import wait_for
from lab.topology import address_of


def what_is_shown(seed, check):
    first = seed.primary()
    second = seed.other(first)
    text = first.cohort("show", "crypto", "gkm", "ks", "coop")
    words = [f"Crypto Gdoi Group Name :{configs.GROUP}", "Group handle:",
             "Local Key Server handle:", f"Local Address: {address_of(first.node.name)}",
             f"Local Priority: {configs.PRIORITIES[first.node.name]}", "Local KS Role: Primary",
             "Local KS Status: Alive", "Local KS version:", "Primary Timers:",
             "Primary Refresh Policy Time:", "Remaining Time:", "Antireplay Sequence Number:",
             f"Peer Address: {address_of(second.node.name)}", "Peer Version:",
             f"Peer Priority: {configs.PRIORITIES[second.node.name]}", "Peer KS Role: Secondary",
             "Peer KS Status: Alive", "IKE status: Established", "Ann msgs sent:",
             "Ann msgs sent with reply request:", "Ann msgs recv:",
             "Ann msgs recv with reply request:", "Packet sent drops:", "Packet Recv drops:",
             "Total bytes sent:", "Total bytes recv:"]
    check("show crypto gkm ks coop at the primary: every field", all(w in text for w in words),
          [w for w in words if w not in text])
    text = second.cohort("show", "crypto", "gkm", "ks", "coop")
    words = ["Local KS Role: Secondary", "Secondary Timers:", "Sec Primary Periodic Time:",
             "Retries:", "Invalid ANN PST recvd: 0", "New GM Temporary Blocking Enforced?: No",
             f"Peer Address: {address_of(first.node.name)}", "Peer KS Role: Primary"]
    check("show crypto gkm ks coop at the secondary: every field", all(w in text for w in words),
          [w for w in words if w not in text])
    text = first.cohort("show", "crypto", "gkm", "ks", "coop", "version")
    words = ["KS_POLICY_CLIENT", "GROUP_MEMBER_CLIENT", "SID_CLIENT"]
    check("show … coop version: the infrastructure and each client",
          all(w in text for w in words) and "ersion : 1.0" in text, text)
    known = [{member["remote"] for member in server.members()} for server in seed.servers()]
    check("both key servers know both members, whoever registered them",
          known[0] == known[1] and len(known[0]) == 2, known)


def taken_over(seed, check, first, second):
    before = second.spis(), second.kek()["spi"], seed.agreed_spis()
    first.kill()
    wait_for(lambda: second.role() == "Primary", 60, "takeover by the other key server")
    check("the survivor has the keys of before, and so have the members",
          (second.spis(), second.kek()["spi"], seed.agreed_spis()) == before, before)
    address = address_of(first.node.name)
    lines = second.log_lines("COOP_KS_UNREACH|COOP_KS_ELECTION|COOP_KS_TRANS_TO_PRI")
    check("syslog: COOP_KS_UNREACH, COOP_KS_ELECTION, COOP_KS_TRANS_TO_PRI, all name the dead one",
          any("%GDOI-3-COOP_KS_UNREACH:" in line and address in line for line in lines)
          and any("%GDOI-5-COOP_KS_ELECTION:" in line and address in line for line in lines)
          and any("%GDOI-5-COOP_KS_TRANS_TO_PRI:" in line and address in line for line in lines),
          lines)
    seed.rekey()
    check("the survivor rekeys", second.spis() == seed.agreed_spis() != before[2],
          (second.spis(), before))


def next_in_the_list(seed, check, first, second):
    member = next(one for one in seed.members()
                  if seed.server_lists[one.node.name][0] == first.node.name)
    count = member.group()["registration"]["succeeded"]
    member.ask("gm register", group=configs.GROUP)
    wait_for(lambda: member.group()["registration"]["succeeded"] > count, 60,
             f"registration of {member.node.name}")
    server = member.group()["registration"]["registered_with"]
    check(f"{member.node.name}, whose key server is dead, registers with the next of its list",
          server.startswith(address_of(second.node.name)), server)
    return member.node.name


def body(lab, check):
    seed = CoopLab(lab).up()
    what_is_shown(seed, check)
    first = seed.primary()
    second = seed.other(first)
    watch = Watch(seed)
    taken_over(seed, check, first, second)
    member = next_in_the_list(seed, check, first, second)
    first.start()
    seed.await_together()
    check("the one that died is back, and does not pre-empt",
          seed.roles() == {first.node.name: "Secondary", second.node.name: "Primary"},
          seed.roles())
    lines = second.log_lines("COOP_KS_REACH")
    check("syslog: COOP_KS_REACH", any("%GDOI-5-" in line and address_of(first.node.name) in line
                                       for line in lines), lines)
    seed.rekey()
    seed.await_together()
    check("after the next rekey both key servers have what the members send with",
          seed.agreed_spis() == first.spis() == second.spis(), (first.spis(), second.spis()))
    watch.verdict(check, "death, takeover, rekeys and return", registered_again=(member,))


scenario.run(body)
