//! The outcome as people read it in a terminal.

use std::fmt::{self, Display, Formatter};

use super::cost::Cost;
use super::intermediaries::Verdict;
use super::lane::{HEARTBEAT, LONG_POLL_WAIT, Wire, span};
use super::numbers::{bytes, crowd, micros, millis, short};
use super::outcome::{Measured, Omitted, Outcome, Row};

/// Writes an outcome as tables, and what follows from them as sentences.
pub(crate) struct Table<'a>(pub(crate) &'a Outcome);

/// The width that sentences are broken at.
const COLUMNS: usize = 100;
/// The width of what stands before them.
const NAMES: usize = 15;

// === impl Table ===

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.0;
        let own = if outcome.own_hub { "a hub of its own on this machine" } else { outcome.url.as_str() };
        writeln!(f, "Compared at {own}.")?;
        self.between(f)?;
        for wire in outcome.wires() {
            if let Some(clients) = outcome.best_crowd(wire) {
                self.waiting(f, wire)?;
                self.delivering(f, wire, clients)?;
            }
        }
        self.crowds(f)?;
        self.omitted(f)?;
        self.conclusions(f)
    }
}

impl Table<'_> {
    fn between(&self, f: &mut Formatter<'_>) -> fmt::Result {
        heading(f, "What stands between")?;
        for finding in self.0.intermediaries.lines() {
            let mark = match finding.verdict {
                Verdict::Good => "✓",
                Verdict::Note => "·",
                Verdict::Bad => "✗",
            };
            wrapped(f, &format!("{mark} {}", finding.about), &finding.text)?;
        }
        Ok(())
    }

    fn waiting(&self, f: &mut Formatter<'_>, wire: Wire) -> fmt::Result {
        heading(f, &format!("A minute in which nothing happens, for each client, over {wire}"))?;
        let header = ["", "requests", "bytes", "hub's CPU", "client's CPU", "hub's memory"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for lane in self.0.over(wire) {
            let Some(idle) = lane.idle() else { continue };
            let minute = idle * 60.0;
            let memory = lane.waiting.as_ref().and_then(|waiting| waiting.memory);
            rows.push(vec![
                lane.lane.transport.to_string(),
                short(minute.requests),
                bytes(minute.bytes()),
                optional(minute.hub_us, micros),
                optional(minute.client_us, micros),
                optional(memory, bytes),
            ]);
        }
        grid(f, &rows)
    }

    fn delivering(&self, f: &mut Formatter<'_>, wire: Wire, clients: usize) -> fmt::Result {
        let outcome = self.0;
        let heading_text = format!("Events of {} bytes to {}, over {wire}", outcome.size, each_of(clients));
        heading(f, &heading_text)?;
        let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
        for rate in outcome.rates(wire) {
            for lane in outcome.over(wire) {
                if let Some(row) = lane.row(clients, rate) {
                    rows.push(cells(lane, row));
                }
            }
        }
        grid(f, &rows)
    }

    /// How much of it depends on the number of clients.
    fn crowds(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.0;
        let Some(wire) = outcome.wires().first().copied() else { return Ok(()) };
        let crowds = outcome.crowds(wire);
        let Some(rate) = outcome.over(wire).flat_map(|lane| &lane.delivering).map(|cell| cell.rate).next()
        else {
            return Ok(());
        };
        if crowds.len() < 2 {
            return Ok(());
        }
        heading(f, &format!("Delay p50 and p99 at {rate} to so many clients, over {wire}"))?;
        let mut rows = vec![vec![String::new()]];
        rows[0].extend(crowds.iter().map(ToString::to_string));
        for lane in outcome.over(wire).filter(|lane| lane.measured && !lane.delivering.is_empty()) {
            let mut row = vec![lane.lane.transport.to_string()];
            row.extend(crowds.iter().map(|clients| {
                let delays = |row: Row| format!("{} – {}", millis(row.delay_p50), millis(row.delay_p99));
                lane.row(*clients, rate).map_or("–".into(), delays)
            }));
            rows.push(row);
        }
        grid(f, &rows)
    }

    fn omitted(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let texts = omitted(self.0);
        if !texts.is_empty() {
            heading(f, "Not measured")?;
        }
        texts.iter().try_for_each(|text| wrapped(f, "", text))
    }

    fn conclusions(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.conclusions.is_empty() {
            return Ok(());
        }
        heading(f, "What follows here")?;
        for sentence in &self.0.conclusions {
            wrapped(f, "", sentence)?;
        }
        heading(f, "How to read it")?;
        for sentence in reading(self.0) {
            wrapped(f, "", &sentence)?;
        }
        Ok(())
    }
}

/// What was measured, and what was computed from it.
pub(crate) fn reading(outcome: &Outcome) -> Vec<String> {
    let mut sentences = vec![
        format!(
            "Figures with `~` are computed: from what a client costs while nothing happens (measured with a sign of life each second, and \
             told for one every {} on streams and a long poll of {}), and from what an event adds at the lowest rate that was measured.",
            span(HEARTBEAT),
            span(LONG_POLL_WAIT)
        ),
        "Bytes are those of HTTP with its heads, and of TLS, in both directions; TCP and IP come on top."
            .into(),
        "Each client has a connection of its own. Delays are from sending a publication to having the event."
            .into(),
    ];
    if cfg!(debug_assertions) {
        sentences.push("This program was built without optimization, and what it takes of a processor is more than it has to be.".into());
    }
    if outcome.lanes.iter().filter_map(|lane| lane.waiting.as_ref()).any(|waiting| waiting.memory.is_some()) {
        sentences.push(
            "The hub's CPU for an event is what each client takes, without what publishing takes by itself. Its memory is without what the \
             kernel keeps for a socket. The client's CPU is that of a client that does next to nothing."
                .into(),
        );
    }
    sentences
}

/// What was left out, and why.
pub(crate) fn omitted(outcome: &Outcome) -> Vec<String> {
    let of = |lane: &Measured| {
        let text = |omitted: &Omitted| {
            let clients = omitted.clients.map(|clients| format!(", {}", crowd(clients))).unwrap_or_default();
            let rate = omitted.rate.map(|rate| format!(", {rate}")).unwrap_or_default();
            format!("{}{clients}{rate}: {}", lane.lane, omitted.reason)
        };
        lane.omitted.iter().map(text).collect::<Vec<_>>()
    };
    outcome.lanes.iter().flat_map(of).collect()
}

/// What stands over [`cells`].
pub(crate) const HEADER: [&str; 8] =
    ["events", "", "delay p50", "p99", "requests/event", "bytes/event", "hub's CPU", "client's CPU"];

/// What is said of a rate, in columns.
pub(crate) fn cells(lane: &Measured, row: Row) -> Vec<String> {
    let mark = if row.measured { "" } else { "~" };
    let mut cells = vec![format!("{mark}{}", row.rate), lane.lane.transport.to_string()];
    if let Some(trouble) = row.trouble() {
        cells.push(trouble);
        return cells;
    }
    let Cost { requests, hub_us, client_us, .. } = row.each;
    cells.extend([
        millis(row.delay_p50),
        millis(row.delay_p99),
        short(requests),
        bytes(row.each.bytes()),
        optional(hub_us, micros),
        optional(client_us, micros),
    ]);
    cells
}

/// Whom something is for.
pub(crate) fn each_of(clients: usize) -> String {
    if clients == 1 { crowd(1) } else { format!("each of {}", crowd(clients)) }
}

pub(crate) fn optional(number: Option<f64>, show: impl Fn(f64) -> String) -> String {
    number.map_or("–".into(), show)
}

fn heading(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "\n{text}")
}

/// Columns as wide as they must be: the first ones to the left, the others to the right.
fn grid(f: &mut Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    // Where the second column is a name as well.
    let names =
        if rows.first().is_some_and(|row| row.first().is_some_and(|name| name == "events")) { 2 } else { 1 };
    for row in rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let missing = " ".repeat(width - cell.chars().count());
            let parts = if column < names { [cell, &missing] } else { [&missing, cell] };
            line.push(' ');
            parts.iter().for_each(|part| line.push_str(part));
            line.push(' ');
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A name, and a text beside it over as many lines as it takes.
fn wrapped(f: &mut Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    let indent = if name.is_empty() { 2 } else { 2 + NAMES + 1 };
    let mut line = if name.is_empty() { "  ".to_owned() } else { format!("  {name:<NAMES$} ") };
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(f, "{line}")?;
            (line, is_empty) = (" ".repeat(indent), true);
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(f, "{line}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::conclusions::conclusions;
    use super::super::intermediaries::Findings;
    use super::super::lane::Transport;
    use super::super::outcome::tests::{cost, measured};
    use super::*;

    #[test]
    fn what_is_computed_is_told_from_what_was_measured() {
        let stream = measured(Transport::Sse, cost(0.0, 60.0, 15.0), cost(0.0, 100.0, 6.0), 1.0);
        let poll = measured(
            Transport::Poll(Duration::from_secs(1)),
            cost(1.0, 300.0, 30.0),
            cost(0.0, 100.0, 1.0),
            500.0,
        );
        let slow = poll.at_interval(Duration::from_secs(30)).unwrap();
        let mut outcome = Outcome {
            url: "http://hub".into(),
            own_hub: false,
            size: 100,
            intermediaries: Findings::default(),
            lanes: vec![poll, slow, stream],
            conclusions: Vec::new(),
        };
        outcome.conclusions = conclusions(&outcome);
        let text = Table(&outcome).to_string();
        let row = |begin: &[&str]| {
            let words = |line: &&str| line.split_whitespace().collect::<Vec<_>>().starts_with(begin);
            text.lines().find(words).unwrap_or_else(|| panic!("{begin:?}\n{text}"))
        };
        assert!(row(&["10/s", "SSE"]).contains("100 B"), "{text}");
        assert!(row(&["~1/min", "SSE"]).contains("340 B"), "{text}");
        assert!(row(&["~10/s", "poll", "every", "30", "s"]).contains("15 s"), "{text}");
        assert!(row(&["poll", "every", "1", "s"]).contains("60"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS + 20), "{text}");
        assert!(text.contains("Figures with `~` are computed"), "{text}");
    }
}
