"""What is measured, of whom, and what of it goes into the table."""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable

import servers

TARGETS = {
    "tidings": "tidings",
    "tidings-disk": "tidings",
    "tidings-tls": "tidings",
    "behind-nginx": "tidings",
    "nchan": "nchan",
    "nchan-tls": "nchan",
    "durable-streams": "durable-streams",
    "floor": "floor",
    "floor-disk": "floor",
    "floor-tls": "floor",
}
MEGABYTE = 1e6


@dataclass
class Row:
    """A line of the table: what is read from a report, and what it shall be."""

    title: str
    goal: str
    unit: str
    read: Callable
    met: Callable = None
    """Whether tidings meets the goal, given its value and its ratio to the floor's."""
    against: str = None
    """Whose value the ratio is to."""


@dataclass
class Scenario:
    name: str
    targets: list
    measure: Callable
    rows: list = field(default_factory=list)
    encrypted: bool = False
    """Whether it is in the table of those over TLS."""
    rounds: int = 1
    """How often it is done within a run; where times are short, luck is large."""

    def summary(self, report):
        return ", ".join(f"{row.title}: {shown(row.read(report))} {row.unit}" for row in self.rows)


def shown(value):
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


WARMING = 100
"""How many connections come and go before a server is warm."""


class Lab:
    """Starts a server and puts it under load."""

    def __init__(self, binaries, quick):
        self.binaries, self.quick = binaries, quick

    def number(self, full, quick):
        return quick if self.quick else full

    def seconds(self, full):
        return f"{2 if self.quick else full}s"

    def load(self, server, target, *flags):
        command = ["taskset", "-c", servers.LOAD_CORE, self.binaries.tidings, "bench", "--json", "--url", server.url]
        command += ["--target", TARGETS[target], "--pid", ",".join(map(str, server.pids)), *flags]
        if server.ca_file:
            command += ["--ca-file", server.ca_file]
        if server.publish_url:
            command += ["--publish-url", server.publish_url]
        command = [str(part) for part in command]
        result = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        try:
            report = json.loads(result.stdout)
        except ValueError:
            return {"error": result.stderr.strip() or "no report"}
        report["command"] = " ".join(command[3:])
        if result.returncode:
            report["wrong"] = result.stderr.strip()
        return report

    def run(self, target, *flags, server_flags=()):
        return self.with_server(target, lambda server: self.load(server, target, *flags), server_flags)

    def idle(self, target, subscribers, *flags):
        """What waiting costs, on a server that is warm: what the first connections bring in (code, the threads' memory) is
        not that of those that follow."""

        def wait(server):
            self.load(server, target, "--idle", "--subscribers", WARMING, *flags)
            return self.load(server, target, "--idle", "--subscribers", subscribers, *flags)

        return self.with_server(target, wait)

    def with_server(self, target, use, server_flags=()):
        if not self.binaries.has(target):
            return {"error": "not installed"}
        try:
            with servers.running(self.binaries, target, flags=server_flags) as server:
                return use(server)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return {"error": str(error)}


def idle(lab, target):
    return lab.idle(target, lab.number(5000, 500), "--duration", "2s", "--settle", "2s")


def fan_out(lab, target):
    flags = ["--subscribers", 1000, "--rate", 20, "--size", 100, "--duration", lab.seconds(5)]
    return lab.run(target, *flags)


def flat_out(lab, target):
    flags = ["--subscribers", lab.number(5000, 500), "--window", 100, "--size", 100, "--duration", lab.seconds(10)]
    return lab.run(target, *flags)


def burst(lab, target):
    flags = ["--subscribers", lab.number(5000, 500), "--window", 0, "--events", 1500, "--size", 100, "--duration", "60s"]
    return lab.run(target, *flags)


def long_poll(lab, target, *more):
    flags = [*more, "--transport", "long-poll", "--subscribers", lab.number(2000, 500), "--rate", 5]
    return lab.run(target, *flags, "--size", 100, "--duration", lab.seconds(10), "--settle", "2s")


def browser_polls(lab, target):
    return long_poll(lab, target, "--client", "chromium")


def held_polls(lab, target):
    flags = ["--idle", "--transport", "long-poll", "--subscribers", lab.number(2000, 500)]
    return lab.run(target, *flags, "--duration", "2s", "--settle", "2s")


def publish_many(lab, target):
    return lab.run(target, "--publish-only", "--publishers", 64, "--size", 100, "--duration", lab.seconds(8))


def publish_one(lab, target):
    flags = ["--publish-only", "--publishers", 1, "--size", 100, "--duration", lab.seconds(6)]
    return lab.run(target, *flags, "--fsync-dir", lab.binaries.work)


def come_back(lab, target):
    flags = ["--return", lab.number(1000, 100), "--subscribers", lab.number(10_000, 1000), "--size", 100]
    return lab.run(target, *flags)


def start(lab, target):
    """Fills a log, and then times how long a hub takes from its start until it takes publications."""
    events = lab.number(10_000_000, 200_000)
    data = lab.binaries.work / "full-log"
    shutil.rmtree(data, ignore_errors=True)
    keep = ["--retain-bytes", "100GiB"]
    try:
        with servers.running(lab.binaries, target, pinned=False, flags=keep, keep=data) as server:
            fill = ["--publish-only", "--batch", 1000, "--publishers", 4, "--events", events, "--duration", "15m"]
            report = lab.load(server, target, *fill)
        if "error" in report:
            return report
        if report["publish"]["events"] < events:
            return {"error": f"only {report['publish']['events']} events fitted in the time"}
        begun = time.monotonic()
        with servers.running(lab.binaries, target, flags=keep, keep=data) as server:
            while not servers.ready(server.url):
                time.sleep(0.002)
            report["ready_seconds"] = time.monotonic() - begun
        report["log_bytes"] = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
        return report
    except RuntimeError as error:
        return {"error": str(error)}
    finally:
        shutil.rmtree(data, ignore_errors=True)


def idle_encrypted(lab, target, subscribers, *more):
    return lab.idle(target, lab.number(subscribers, subscribers // 10), *more, "--duration", "2s", "--settle", "3s")


def idle_tls(lab, target):
    return idle_encrypted(lab, target, 5000)


def idle_h2(lab, target):
    return idle_encrypted(lab, target, 3000, *http2(target))


def idle_h2_streams(lab, target):
    return idle_encrypted(lab, target, 5000, *http2(target), *STREAMS)


def fan_out_encrypted(lab, target, *more):
    flags = ["--subscribers", 1000, "--rate", 20, "--size", 100, "--duration", lab.seconds(5)]
    report = lab.run(target, *flags, *more)
    # Who is late sends several events at once, which costs less: such a time is left out of the table.
    reads = report.get("delivery", {}).get("reads_each", 1)
    if reads < MOST_READS and "--streams-per-connection" not in more:
        report["late"] = f"events went out together, {reads:.2f} reads for each: the machine had too much to do"
    return report


MOST_READS = 0.9


def fan_out_h2(lab, target):
    return fan_out_encrypted(lab, target, *http2(target))


def fan_out_h2_streams(lab, target):
    return fan_out_encrypted(lab, target, *(http2(target) and [*http2(target), *STREAMS]))


STREAMS = ["--streams-per-connection", 100]


def http2(target):
    """Beside them, the plaintext that they are compared with is HTTP/1.1."""
    return [] if target == "tidings" else ["--http2"]


def cpu(report):
    return report["resources"]["cpu_us_each"]


def p50(report):
    return report["delivery"]["latency_ms"]["p50"]


def p99(report):
    return report["delivery"]["latency_ms"]["p99"]


def growth(report):
    memory = report["resources"]["memory"]
    return (memory["most"] - memory["idle"]) / MEGABYTE


def each_connection(report):
    return report["resources"]["memory"]["each_connection"] / 1e3


def each_subscriber(report):
    return report["resources"]["memory"]["each_subscriber"] / 1e3


def each_served(report):
    return report["resources"]["memory"]["each_subscriber_served"] / 1e3


def opening(report):
    return report["resources"]["opening_cpu_us_each"]


def throughput(report):
    return report["delivery"]["deliveries_per_second"]


def at_most(limit):
    return lambda own, ratio: own <= limit


def at_least(limit):
    return lambda own, ratio: own >= limit


def within(factor):
    return lambda own, ratio: ratio is not None and ratio <= factor


EVERYONE = ["tidings", "floor", "nchan", "durable-streams"]
POLLERS = ["tidings", "nchan", "durable-streams"]
ENCRYPTED = ["tidings-tls", "floor-tls", "nchan-tls", "behind-nginx"]
# Neighbours in time: what is compared most.
BESIDE_PLAINTEXT = ["tidings-tls", "tidings", "floor-tls", "nchan-tls", "behind-nginx"]
ENCRYPTED_POLLERS = ["tidings-tls", "tidings", "nchan-tls", "behind-nginx"]
DELAYS = [Row("its p50 latency", "", "ms", p50, None, "tidings"), Row("its p99 latency", "", "ms", p99, None, "tidings")]
GROWTH = Row("memory grows by", "< 100 MB", "MB", growth, at_most(100))

SCENARIOS = [
    Scenario("idle", EVERYONE, idle, [
        Row("memory for each idle SSE connection, 5,000 of them", "≤ 0.6 KB", "KB", each_connection, at_most(0.6)),
    ]),
    Scenario("fan-out", [*EVERYONE, "tidings-disk"], fan_out, [
        Row("CPU for each delivery, 1,000 SSE subscribers, 20 events/s", "≤ 1.15 × floor", "µs", cpu, within(1.15), "floor"),
        Row("its p50 latency", "≤ 1.3 × floor", "ms", p50, within(1.3), "floor"),
        Row("its p99 latency", "", "ms", p99, None, "floor"),
    ], rounds=9),
    Scenario("flat-out", EVERYONE, flat_out, [
        Row("deliveries a second, flat out, 5,000 SSE subscribers, 1 publisher", "≥ 1,000,000", "/s", throughput, at_least(1e6), "floor"),
        Row("its p99 latency", "< 1,000 ms", "ms", p99, at_most(1000), "floor"),
        GROWTH,
    ]),
    Scenario("burst", EVERYONE, burst, [
        Row("deliveries a second of 1,500 events at once, 5,000 SSE subscribers", "", "/s", throughput, None, "floor"),
        Row("its p50 latency", "", "ms", p50),
        GROWTH,
    ]),
    Scenario("long-poll", POLLERS, long_poll, [
        Row("CPU for each delivery, 2,000 held long polls, 5 events/s", "≤ 10 µs", "µs", cpu, at_most(10)),
        Row("its p50 latency", "", "ms", p50),
    ], rounds=3),
    Scenario("browser-polls", POLLERS, browser_polls, [
        Row("the same with the head of Chromium, a cookie and 700 bytes of session", "≤ 12 µs", "µs", cpu, at_most(12)),
    ], rounds=3),
    Scenario("held-polls", POLLERS, held_polls, [
        Row("memory for each held long poll, 2,000 of them", "≤ 1 KB", "KB", each_connection, at_most(1)),
    ]),
    Scenario("publish-64", ["tidings-disk", "durable-streams"], publish_many, [
        Row("durable publications a second, 64 publishers", "≥ 40,000", "/s", lambda report: report["publish"]["events_per_second"], at_least(40_000)),
    ]),
    Scenario("publish-1", ["tidings-disk", "durable-streams", "floor-disk"], publish_one, [
        Row("durable publication, 1 publisher, p50", "", "ms", lambda report: report["publish"]["latency_ms"]["p50"], None, "floor-disk"),
        Row("one bare fdatasync, p50", "", "ms", lambda report: report["disk"]["fdatasync_ms"]["p50"]),
        Row("the publication in bare fdatasyncs", "≤ 1.5", "×", lambda report: report["disk"]["publish_ratio"], at_most(1.5)),
    ], rounds=3),
    Scenario("return", EVERYONE, come_back, [
        Row("10,000 return at once, 1,000 events behind: all caught up", "≤ 1.5 × floor", "s", lambda report: report["delivery"]["seconds"], within(1.5), "floor"),
        GROWTH,
    ]),
    Scenario("start", ["tidings-disk"], start, [
        Row("start with 10,000,000 events in the log", "≤ 200 ms", "ms", lambda report: report["ready_seconds"] * 1e3, at_most(200)),
        Row("the log on the disk", "", "MB", lambda report: report["log_bytes"] / MEGABYTE),
    ]),
    Scenario("idle-tls", ENCRYPTED, idle_tls, [
        Row("memory for each idle SSE connection over TLS, HTTP/1.1, 5,000 of them", "≤ 1 KB", "KB", each_subscriber, at_most(1)),
        Row("CPU for opening each, with the handshake", "≤ 1.1 × floor", "µs", opening, within(1.1), "floor-tls"),
    ], encrypted=True),
    Scenario("idle-h2", ENCRYPTED, idle_h2, [
        Row("memory for each idle HTTP/2 connection with one SSE stream over TLS, 3,000 of them", "≤ 2 KB", "KB", each_subscriber, at_most(2)),
    ], encrypted=True),
    Scenario("idle-h2-streams", ENCRYPTED, idle_h2_streams, [
        Row("memory for each idle SSE stream over TLS, HTTP/2, 50 connections of 100", "≤ 0.4 KB", "KB", each_subscriber, at_most(0.4)),
    ], encrypted=True),
    Scenario("fan-out-tls", BESIDE_PLAINTEXT, fan_out_encrypted, [
        Row("CPU for each delivery over TLS, HTTP/1.1, 1,000 SSE subscribers, 20 events/s", "≤ 1.25 × plaintext", "µs", cpu, within(1.25), "tidings"),
        *DELAYS,
    ], encrypted=True, rounds=3),
    Scenario("fan-out-h2", BESIDE_PLAINTEXT, fan_out_h2, [
        Row("CPU for each delivery over TLS, HTTP/2, the same", "≤ 1.35 × plaintext", "µs", cpu, within(1.35), "tidings"),
        *DELAYS,
        Row("memory for each after that", "", "KB", each_served),
    ], encrypted=True, rounds=3),
    Scenario("fan-out-h2-streams", BESIDE_PLAINTEXT, fan_out_h2_streams, [
        Row("CPU for each delivery over TLS, HTTP/2, 10 connections of 100 SSE streams", "≤ 3 µs", "µs", cpu, at_most(3), "tidings"),
        *DELAYS,
    ], encrypted=True, rounds=3),
    Scenario("long-poll-tls", ENCRYPTED_POLLERS, long_poll, [
        Row("CPU for each delivery over TLS, HTTP/1.1, 2,000 held long polls, 5 events/s", "", "µs", cpu, None, "tidings"),
        DELAYS[0],
    ], encrypted=True, rounds=3),
]
