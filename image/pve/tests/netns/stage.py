"""The stage: one process in each network namespace, and one that directs them.

    stage.py look          what this kernel can, as JSON
    stage.py direct        a plan on standard input; what came of every probe, as JSON
    stage.py party NAME    a party: a command on each line of standard input, an answer on each line of standard output

Owns sockets and the order of things, and knows no rule: what is linked, filtered and tried stands in the plan. Runs in
namespaces of its own, so that everything vanishes with the first process; that one ends when its standard input does.

A probe is refused when nothing came of it after several attempts. Waiting alone would make a busy machine a firewall, so
everybody works off what has arrived before anybody is asked for results, and again for the answers.
"""

import errno
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

# Enough for two more attempts of TCP, which tries again after one second each.
ATTEMPTS = 5
PAUSE = 0.5
# A run takes seconds. One that hangs must not outlive its test.
LONGEST = 120

ECHO_REPLY, ECHO = 0, 8
# Of the kernel's headers; Python does not know them.
SOL_RAW, ICMP_FILTER = 255, 1


def run(argv, text=""):
    done = subprocess.run(argv, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stdout}\n{text}")


def sysctl(name, value):
    path = "/proc/sys/net/" + name
    if os.path.exists(path):
        with open(path, "w") as file:
            file.write(str(value))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Party:
    """Answers on every port, tries what it is told to, and tells who got what."""

    def __init__(self, name):
        self.name = name
        self.poll = selectors.DefaultSelector()
        self.forget()

    def forget(self):
        self.phase = ""
        self.probes = {}
        self.results = {}
        self.seen = []
        self.sockets = {}

    # What others get from here.

    def setup(self, command):
        for name, value in command["sysctls"].items():
            sysctl(name, value)
        run(["ip", "-batch", "-"], "\n".join(command["links"]))
        for port in command["ports"]:
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("", port))
            server.listen(1024)
            self.listen(server, self.accept)
            # One for each address: an answer must come from where the question went.
            for address in command["addresses"]:
                self.listen(self.datagram((address, port)), self.echo)
            for group in command["groups"]:
                listener = self.datagram((group, port))
                for address in command["addresses"]:
                    member = socket.inet_aton(group) + socket.inet_aton(address)
                    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
                self.listen(listener, self.note)

    def datagram(self, address):
        made = socket.socket(type=socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.bind(address)
        return made

    def listen(self, made, callback):
        made.setblocking(False)
        self.poll.register(made, selectors.EVENT_READ, callback)

    def accept(self, server):
        peer, (address, _) = server.accept()
        with peer:
            peer.send(f"{self.name} {address}\n".encode())

    def note(self, listener):
        data, peer = listener.recvfrom(2048)
        self.seen.append(data.decode())
        return data, peer

    def echo(self, listener):
        data, peer = self.note(listener)
        listener.sendto(f"{self.name} ".encode() + data, peer)

    # What it gets from others.

    def probe(self, command):
        self.phase = command["phase"]
        self.probes = {probe["id"]: probe for probe in command["probes"]}
        for probe in self.probes.values():
            if probe["protocol"] == "tcp":
                self.connect(probe)
            else:
                self.send(probe)

    def again(self, _):
        for number, probe in self.probes.items():
            if number not in self.results and probe["protocol"] != "tcp":
                self.send(probe)

    def connect(self, probe):
        made = socket.socket()
        made.setblocking(False)
        made.bind((probe["source"], 0))
        self.sockets[("tcp", probe["id"])] = made
        failed = made.connect_ex((probe["dest"], probe["port"]))
        if failed not in (0, errno.EINPROGRESS):
            self.results[probe["id"]] = errno.errorcode[failed]
            return
        self.poll.register(made, selectors.EVENT_WRITE, lambda made: self.connected(made, probe))

    def connected(self, made, probe):
        self.poll.unregister(made)
        failed = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            self.results[probe["id"]] = errno.errorcode[failed]
        else:
            self.poll.register(made, selectors.EVENT_READ, lambda made: self.greeted(made, probe))

    def greeted(self, made, probe):
        self.poll.unregister(made)
        said = made.recv(200).decode().strip()
        made.close()
        self.answered(probe["id"], said, f"{probe['who']} {probe['source']}")

    def send(self, probe):
        protocol, source, dest = probe["protocol"], probe["source"], probe["dest"]
        made = self.sockets.get((protocol, source))
        text = f"{self.phase} {probe['id']}".encode()
        try:
            if protocol == "udp":
                if made is None:
                    made = self.sockets[(protocol, source)] = self.datagram((source, 0))
                    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
                    self.listen(made, self.heard)
                made.sendto(text, (dest, probe["port"]))
            else:
                if made is None:
                    made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
                    made.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                    made.bind((source, 0))
                    self.sockets[(protocol, source)] = made
                    self.listen(made, self.ponged)
                text += b" " * (len(text) % 2)
                head = struct.pack("!BBHHH", ECHO, 0, 0, made.fileno(), probe["id"] & 0xFFFF)
                head = head[:2] + struct.pack("!H", checksum(head + text)) + head[4:]
                made.sendto(head + text, (dest, 0))
        except OSError as error:
            self.results[probe["id"]] = errno.errorcode[error.errno]

    def heard(self, made):
        data, (address, port) = made.recvfrom(2048)
        who, phase, number = data.decode().split()
        probe = self.probes.get(int(number))
        if phase == self.phase and probe:
            said = f"{who} {address} {port}"
            self.answered(probe["id"], said, f"{probe['who']} {probe['dest']} {probe['port']}")

    def ponged(self, made):
        data, (address, _) = made.recvfrom(2048)
        phase, number = data[(data[0] & 15) * 4 + 8 :].decode().split()
        probe = self.probes.get(int(number))
        if phase == self.phase and probe:
            self.answered(probe["id"], address, probe["dest"])

    def answered(self, number, said, expected):
        self.results[number] = "open" if said == expected else f"{said!r} answered, not {expected!r}"

    # Commands.

    def sync(self, _):
        while self.step(0):
            pass
        return {"left": len(self.probes) - len(self.results)}

    def end(self, _):
        answer = {"results": self.results, "seen": self.seen}
        for made in self.sockets.values():
            try:
                self.poll.unregister(made)
            except (KeyError, ValueError):
                pass
            made.close()
        self.forget()
        return answer

    def step(self, timeout):
        """What has arrived, worked off once; true when there was anything."""
        events = self.poll.select(timeout)
        for key, _ in events:
            try:
                key.data(key.fileobj)
            except BlockingIOError:
                pass
        return bool(events)

    def serve(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for scope in ("all", "default"):
            sysctl(f"ipv6/conf/{scope}/disable_ipv6", 1)
            sysctl(f"ipv4/conf/{scope}/rp_filter", 0)
            sysctl(f"ipv4/conf/{scope}/send_redirects", 0)
            sysctl(f"ipv4/conf/{scope}/accept_redirects", 0)
        commands = []
        pending = b""
        standard = selectors.DefaultSelector()
        standard.register(0, selectors.EVENT_READ)
        standard.register(self.poll, selectors.EVENT_READ)
        print(json.dumps({"ready": os.getpid()}), flush=True)
        while True:
            ready = {key.fd for key, _ in standard.select()}
            if 0 in ready:
                read = os.read(0, 1 << 16)
                if not read:
                    return
                *commands, pending = (pending + read).split(b"\n")
                for line in commands:
                    command = json.loads(line)
                    answer = getattr(self, command["do"])(command)
                    print(json.dumps(answer or {}), flush=True)
            else:
                self.step(0)


class Stage:
    """Those who take part, by name."""

    def __init__(self, parties):
        self.processes = {}
        for party in parties:
            argv = [sys.executable, "-I", "-S", os.path.abspath(__file__), "party", party["name"]]
            if not party["here"]:
                argv = ["unshare", "--net"] + argv
            self.processes[party["name"]] = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        self.pids = {name: self.answer(name)["ready"] for name in self.processes}

    def answer(self, name):
        line = self.processes[name].stdout.readline()
        if not line:
            raise SystemExit(f"{name} ended")
        return json.loads(line)

    def all(self, do, commands=None):
        """Tells everybody, then hears everybody: they work at the same time."""
        for name, process in self.processes.items():
            command = dict(commands[name] if commands else {}, do=do)
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        return {name: self.answer(name) for name in self.processes}

    def phase(self, phase, probes):
        told = {name: {"phase": phase, "probes": []} for name in self.processes}
        for number, probe in enumerate(probes):
            told[probe["from"]]["probes"].append(dict(probe, id=number))
        self.all("probe", told)
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE)
                self.all("again")
            # First what was asked arrives everywhere, then what was answered.
            self.all("sync")
            left = self.all("sync")
            if not any(answer["left"] for answer in left.values()):
                break
        told = self.all("end")
        got = {}
        for name, answer in told.items():
            for text in answer["seen"]:
                at, number = text.split()
                if at == phase:
                    got.setdefault(int(number), set()).add(name)
        outcomes = []
        for number, probe in enumerate(probes):
            result = told[probe["from"]]["results"].get(str(number))
            others = got.get(number, set()) - {probe["from"]}
            if result is None and others:
                # Nobody answers for a group; whoever else has it is enough.
                result = "open" if probe["group"] else "arrives, but the answer does not"
            outcomes.append(result or "silent")
        return outcomes


def direct():
    plan = json.loads(sys.stdin.readline())

    def end():
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
    watch = threading.Timer(LONGEST, lambda: os._exit(2))
    watch.daemon = True
    watch.start()
    began = time.monotonic()
    stage = Stage(plan["parties"])
    words = {f"@{name}": str(pid) for name, pid in stage.pids.items()}
    links = "\n".join(" ".join(words.get(word, word) for word in line.split()) for line in plan["links"])
    run(["ip", "-batch", "-"], links)
    run(["bridge", "-batch", "-"], "\n".join(plan["vlans"]))
    stage.all("setup", {party["name"]: party["setup"] for party in plan["parties"]})
    # Without a rule everything must pass, or a broken stage would look like a firewall.
    before = stage.phase("before", plan["probes"])
    run(["nft", "-f", "-"], plan["rules"])
    after = stage.phase("after", plan["probes"])
    print(json.dumps({"before": before, "after": after, "seconds": time.monotonic() - began}))


def look():
    def works(argv, text=""):
        done = subprocess.run(argv, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return None if done.returncode == 0 else f"{' '.join(argv)}: {done.stdout.strip()}"

    chain = "table %s look {\n chain look {\n type filter hook forward priority 0\n ct state established accept\n }\n}\n"
    print(
        json.dumps(
            {
                "links": works(["ip", "link", "add", "look0", "type", "bridge"])
                or works(["ip", "link", "add", "look1", "type", "veth", "peer", "name", "look2"]),
                "rules": works(["nft", "-f", "-"], chain % "inet"),
                "vlans": works(["ip", "link", "add", "look3", "type", "bridge", "vlan_filtering", "1"]) is None,
                "br_netfilter": os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"),
                "bridge": works(["nft", "-f", "-"], chain % "bridge") is None,
            }
        )
    )


if __name__ == "__main__":
    what = sys.argv[1]
    if what == "party":
        Party(sys.argv[2]).serve()
    else:
        {"look": look, "direct": direct}[what]()
