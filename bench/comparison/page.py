"""The page with the results: a table of medians, what was wrong, the commands, and plots."""

from statistics import median

import plots
from scenarios import SCENARIOS, shown
from servers import LOAD_CORE, SERVER_CORE

# What the columns beside Tidings's own show, and of whom.
OTHERS = [("floor", "floor"), ("nchan", "nchan"), ("durable-streams", "durable-streams")]
OTHERS_ENCRYPTED = [
    ("plaintext", "tidings"),
    ("floor", "floor-tls"),
    ("nchan", "nchan-tls"),
    ("Tidings behind nginx", "behind-nginx"),
]
PLOTS = [
    ("idle", 0, "memory-idle", "less is better; 5,000 connections on which nothing happens"),
    ("fan-out", 0, "cpu", "less is better; the floor is one send() for each subscriber"),
    ("fan-out", 1, "latency", "less is better; from publication to receipt"),
    ("flat-out", 0, "flat-out", "more is better; at most 100 events on their way at once"),
    ("long-poll", 0, "long-poll", "less is better"),
    ("publish-64", 0, "publish", "more is better; each acknowledged once it is on the disk"),
    ("return", 0, "return", "less is better; 10,000,000 deliveries"),
]

PLACEHOLDERS = {"--url": "URL", "--pid": "PID", "--fsync-dir": "FOLDER", "--ca-file": "FILE", "--publish-url": "URL"}

INTRODUCTION = """# Benchmarks

Written by `bench/run`, which measures Tidings beside nginx with nchan, durable-streams, and the **floor**: a program that
does one `send()` of the same bytes for each subscriber, or one write and sync for each publication, and nothing else ([bench/floor](../bench/floor/src/main.rs)). Every
server runs alone, on one core; the load, `tidings bench`, on another. Times on a machine that others share vary from run
to run: **the ratios within one run are what can be compared.**
"""


def value(run, scenario, target, row):
    """What one time brought; one that failed, or cannot be compared, says nothing."""
    report = run.get(scenario.name, {}).get(target)
    if report is None or "error" in report or "late" in report:
        return None
    try:
        return row.read(report)
    except (KeyError, TypeError):
        return None


def values(everything, scenario, target, row):
    """What each time brought."""
    found = [value(run, scenario, target, row) for run in everything["runs"]]
    return [one for one in found if one is not None]


def middle(everything, scenario, target, row):
    found = values(everything, scenario, target, row)
    return median(found) if found else None


def own_target(scenario):
    return scenario.targets[0]


def ratio(everything, scenario, row):
    """Of neighbours in time, each pair by itself."""
    ratios = []
    for run in everything["runs"] if row.against else []:
        own, other = value(run, scenario, own_target(scenario), row), value(run, scenario, row.against, row)
        if own is not None and other:
            ratios.append(own / other)
    return median(ratios) if ratios else None


def table(everything, encrypted=False):
    others = OTHERS_ENCRYPTED if encrypted else OTHERS
    ratio_of = "ratio" if encrypted else "tidings / floor"
    heads = ["", "goal", "tidings", others[0][0], ratio_of, *(name for name, _ in others[1:])]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for scenario in SCENARIOS:
        if scenario.encrypted != encrypted or not any(scenario.name in run for run in everything["runs"]):
            continue
        for row in scenario.rows:
            own = middle(everything, scenario, own_target(scenario), row)
            cells = [middle(everything, scenario, target, row) for _, target in others]
            if not encrypted:
                cells[0] = middle(everything, scenario, row.against or "floor", row)
            quotient = ratio(everything, scenario, row)
            mark = ""
            if row.met and own is not None and not everything["quick"]:
                mark = " ✓" if row.met(own, quotient) else " ✗"
            text = [f"{shown(own)} {row.unit}{mark}" if own is not None else "–"]
            text.append(shown(cells[0]))
            text.append(f"{quotient:.2f}" if quotient is not None else "–")
            text += [shown(cell) for cell in cells[1:]]
            lines.append(f"| {row.title} | {row.goal} | " + " | ".join(text) + " |")
    return "\n".join(lines)


def has_encrypted(everything):
    names = {scenario.name for scenario in SCENARIOS if scenario.encrypted}
    return any(names & set(run) for run in everything["runs"])


ENCRYPTED = """
## Over TLS and HTTP/2

As browsers speak to a server that they reach directly: TLS 1.3 with a certificate of ECDSA on P-256, the same for all, a full handshake
for each connection, and the windows and header tables of Chromium. *plaintext* is Tidings over HTTP/1.1 in clear in the same run. The
floor leaves handshakes to rustls, and then does nothing but seal the bytes for each connection and send them; over HTTP/2 the frames of
all streams of a connection go out in one record and one `send()`. *Behind nginx* are both processes together, on the same core. The
ratio is to what the goal names, or else to plaintext.
"""


def spread(everything):
    """Every value, so that nobody has to trust a median."""
    lines = ["| | server | each time |", "|---|---|---|"]
    for scenario in SCENARIOS:
        for row in scenario.rows:
            for target in scenario.targets:
                found = values(everything, scenario, target, row)
                if found:
                    lines.append(f"| {row.title} | {target} | " + ", ".join(map(shown, found)) + f" {row.unit} |")
    return "\n".join(lines)


def wrongs(everything):
    """Reports with faults, and servers that could not be measured."""
    lines = []
    for run in everything["runs"]:
        for name, reports in run.items():
            for target, report in reports.items():
                what = report.get("error") or report.get("late") or report.get("wrong")
                if what:
                    lines.append(f"- {name}, {target}: {what}")
    return "\n".join(lines) or "None: every event reached every subscriber once and in order."


def commands(everything):
    lines = []
    for scenario in SCENARIOS:
        for run in everything["runs"]:
            report = run.get(scenario.name, {}).get(own_target(scenario), {})
            if "command" in report:
                lines.append(f"{scenario.name:<18} tidings {general(report['command'])}")
                break
    return "\n".join(lines)


def general(command):
    """A command without what is of this machine, or of one start of a server, alone."""
    words = iter(command.split(" ")[1:])
    kept = []
    for word in words:
        if word == "--json":
            continue
        kept.append(word)
        if word in PLACEHOLDERS:
            next(words, None)
            kept.append(PLACEHOLDERS[word])
    return " ".join(kept)


def write(everything, docs):
    docs.mkdir(exist_ok=True)
    machine = everything["machine"]
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    pictures = []
    for name, place, file, note in PLOTS:
        scenario = scenarios[name]
        row = scenario.rows[place]
        title = scenario.rows[0].title if place == 0 else f"{row.title.removeprefix('its ')}: {scenario.rows[0].title.partition(', ')[2]}"
        bars = [(target, middle(everything, scenario, target, row)) for target in scenario.targets]
        if not any(value is not None for _, value in bars):
            continue
        (docs / f"benchmark-{file}.svg").write_text(plots.bars(title, note, row.unit, bars))
        pictures.append(f"![{title}](benchmark-{file}.svg)")
    parts = [
        INTRODUCTION,
        "What was measured more than once, below under *Each time*, stands here with its median; a ratio is the median of "
        "the ratios of neighbours.\n",
        table(everything),
        "\n`tidings` keeps its log in memory here, as nchan does, except for durable publications and the start, which are "
        "those of the disk log; durable-streams runs with its defaults, on the disk. nchan and the floor publish and deliver "
        "in one thread: there a publisher waits for the deliveries before its own, so that in the burst, where nothing else "
        "holds it back, latencies are short and it is the publications that take long.\n",
        *([ENCRYPTED, table(everything, encrypted=True), ""] if has_encrypted(everything) else []),
        *(f"{picture}\n" for picture in pictures),
        "## What was wrong\n",
        wrongs(everything),
        "\n## Each time\n",
        spread(everything),
        "\n## How\n",
        f"- Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']} of memory, Linux {machine['kernel']}.",
        f"- {machine['tidings']}; {machine['nchan']}; {machine['durable-streams']}; {machine['rustc']}.",
        f"- Servers under `taskset -c {SERVER_CORE}`, the load under `taskset -c {LOAD_CORE}`; nginx with one worker.",
        "- CPU is user and system time of the server's process, memory its proportional set size; both from `/proc`.",
        "- Pollers begin with `since=latest`, as clients do. `long-poll` sends bare heads; `browser-polls` sends the head of Chromium\n"
        "  with a cookie of 700 bytes. The report's `repeated_polls` says how many polls the hub knew by their bytes.",
        "- One command: `bench/run`. What it runs against each server:\n",
        "```",
        commands(everything),
        "```",
        "",
    ]
    (docs / "benchmarks.md").write_text("\n".join(parts))
