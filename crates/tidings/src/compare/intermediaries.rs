//! What stands between this program and the hub, and what it does to what passes.

mod asker;
mod exchange;
mod protocols;
mod silence;
mod streams;

use std::error::Error;

use serde::Serialize;

use self::asker::Asker;
use self::protocols::{CODINGS, Pages, Protocols, Upgrade};
use self::silence::{Silence, Silences, Watch};
use self::streams::Streaming;
use super::lane::{HEARTBEAT, LONG_POLL_WAIT, Transport, Wire};
use super::numbers::{bytes, millis, short};
use super::site::Site;

/// What was found. A part that could not be looked at is absent, and is among the troubles.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    pub(crate) protocols: Option<Protocols>,
    pub(crate) pages: Option<Pages>,
    pub(crate) streams: Option<Streaming>,
    /// The same, where the client takes compressed answers.
    pub(crate) compressed_streams: Option<Streaming>,
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) silences: Silences,
    pub(crate) troubles: Vec<String>,
}

/// One thing that was found, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) about: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// As it should be.
    Good,
    /// Good to know.
    Note,
    /// In the way.
    Bad,
}

/// Looks at everything but silences, which take their time: they are told when the watch is at its end.
///
/// # Errors
/// Where nobody answers there.
pub(crate) fn look(site: &Site, wire: Wire) -> Result<(Findings, Watch), Box<dyn Error>> {
    let asker = Asker::new(site, wire)?;
    let protocols = protocols::spoken(&asker)?;
    let watch = Watch::start(&asker);
    let mut findings = Findings::default();
    let mut troubles = Vec::new();
    let mut trouble = |what: &str, fault: exchange::Fault| troubles.push(format!("{what}: {fault}"));
    findings.protocols = Some(protocols);
    findings.pages = protocols::pages(&asker).map_err(|fault| trouble("pages", fault)).ok();
    findings.streams = streams::look(&asker, "").map_err(|fault| trouble("streams", fault)).ok();
    // What is held back as it is need not be looked at again.
    if findings.streams.as_ref().is_some_and(Streaming::passes) {
        let packed = streams::look(&asker, CODINGS).map_err(|fault| trouble("compressed streams", fault));
        findings.compressed_streams = packed.ok();
    }
    findings.upgrade = protocols::upgrade(&asker).map_err(|fault| trouble("WebSocket", fault)).ok();
    findings.troubles = troubles;
    Ok((findings, watch))
}

// === impl Findings ===

impl Findings {
    pub(crate) fn speaks_http2(&self) -> bool {
        self.protocols.as_ref().is_some_and(|protocols| protocols.http2)
    }

    /// The ways to read that would not get through, and why.
    pub(crate) fn blocked(&self) -> Vec<(Transport, String)> {
        let mut blocked = Vec::new();
        if let Some(streams) = self.streams.as_ref().filter(|streams| !streams.passes()) {
            let reason = streams.refused.clone();
            blocked.push((
                Transport::Sse,
                reason.unwrap_or_else(|| "something in between holds streams back".into()),
            ));
        }
        match self.upgrade {
            Some(Upgrade::Passes) => {}
            Some(Upgrade::NotSpoken) => blocked.push((Transport::WebSocket, "this hub speaks none".into())),
            Some(Upgrade::Stripped) => {
                blocked.push((Transport::WebSocket, "something in between takes `Upgrade` away".into()));
            }
            Some(Upgrade::Refused(_)) | None => {
                blocked.push((Transport::WebSocket, "no WebSocket could be opened".into()));
            }
        }
        blocked
    }

    /// For people, each in a sentence or two.
    pub(crate) fn lines(&self) -> Vec<Finding> {
        let mut lines = Vec::new();
        if let Some(pages) = self.pages.as_ref() {
            lines.extend(pages.through());
        }
        if let Some(protocols) = &self.protocols {
            lines.push(protocols.line());
        }
        if let Some(streams) = &self.streams {
            lines.push(streams.line());
        }
        lines.extend(self.compression());
        if let Some(upgrade) = &self.upgrade {
            lines.push(upgrade.line());
        }
        lines.extend(self.silences.lines());
        let trouble = |text: &String| Finding::new("not found out", Verdict::Bad, text.clone());
        lines.extend(self.troubles.iter().map(trouble));
        lines
    }

    fn compression(&self) -> Option<Finding> {
        let page = self.pages.as_ref()?.coding.as_deref();
        let packed = self.compressed_streams.as_ref();
        let stream = packed.and_then(|streams| streams.coding.as_deref());
        let held = packed.is_some_and(|streams| streams.held_back);
        Some(match (page, stream) {
            (_, Some(coding)) if held => Finding::new(
                "compression",
                Verdict::Bad,
                format!(
                    "streams are compressed on the way ({coding}), and held back with that: take `text/event-stream` out of what is \
                     compressed"
                ),
            ),
            (page, Some(coding)) => Finding::new(
                "compression",
                Verdict::Note,
                format!(
                    "streams are compressed on the way ({coding}){}, and each event still comes at once",
                    if page.is_some() { ", as pages are" } else { "" }
                ),
            ),
            (Some(coding), None) => Finding::new(
                "compression",
                Verdict::Note,
                format!("pages are compressed on the way ({coding}), streams are not"),
            ),
            (None, None) => Finding::new("compression", Verdict::Good, "nothing is compressed on the way"),
        })
    }
}

// === impl Finding ===

impl Finding {
    fn new(about: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { about, verdict, text: text.into() }
    }
}

// === impl Pages ===

impl Pages {
    fn through(&self) -> Option<Finding> {
        let named = self.through.join(" and ");
        (!named.is_empty()).then(|| {
            Finding::new("in between", Verdict::Note, format!("answers come from somebody who says {named}"))
        })
    }
}

// === impl Protocols ===

impl Protocols {
    fn line(&self) -> Finding {
        let text = match (&self.tls, self.http2) {
            (Some(tls), true) => format!("{tls}, and HTTP/2 where the client offers it"),
            (Some(tls), false) => {
                let text = format!(
                    "{tls}, and HTTP/1.1 only: a browser opens six connections to a host at most, so that a seventh tab with a stream \
                     waits for ever"
                );
                return Finding::new("spoken", Verdict::Note, text);
            }
            (None, true) => "in clear, HTTP/1.1 and HTTP/2 (browsers speak that only over TLS)".into(),
            (None, false) => "in clear, HTTP/1.1 only".into(),
        };
        Finding::new("spoken", Verdict::Good, text)
    }
}

// === impl Streaming ===

impl Streaming {
    /// Whether each event comes at once.
    pub(crate) fn passes(&self) -> bool {
        !self.held_back && self.refused.is_none()
    }

    /// Whether events come later than they must, though they come.
    fn is_late(&self) -> bool {
        let late = self.delay_ms.zip(self.publish_ms).map(|(delay, publish)| delay - publish);
        late.is_some_and(|late| late > LATE_MS)
    }

    fn line(&self) -> Finding {
        let (verdict, text) = if let Some(refused) = &self.refused {
            (Verdict::Bad, refused.clone())
        } else if self.held_back {
            let until = match self.held_back_bytes {
                Some(held) => {
                    format!("the first of a stream came only when about {} had followed", bytes(held as f64))
                }
                None => "of a stream nothing came at all".into(),
            };
            let text = format!(
                "{until}: something in between collects what the hub sends. Turn that off for the hub's paths (nginx: `proxy_buffering \
                 off`, and no `proxy_ignore_headers X-Accel-Buffering`); until then clients are left with long polls"
            );
            (Verdict::Bad, text)
        } else if self.is_late() {
            let text = format!(
                "events of a stream come, but late: {} after they were published, and publishing took {} of it; something in between \
                 collects for a moment",
                millis(self.delay_ms.unwrap_or_default()),
                millis(self.publish_ms.unwrap_or_default())
            );
            (Verdict::Bad, text)
        } else {
            let text = format!(
                "come as they are sent: the first byte after {}, an event {} after it was published (at most {})",
                millis(self.first_byte_ms.unwrap_or_default()),
                millis(self.delay_ms.unwrap_or_default()),
                millis(self.most_delay_ms.unwrap_or_default())
            );
            (Verdict::Good, text)
        };
        Finding::new("streams", verdict, text)
    }
}

/// How much later than the answer to its publisher an event may come.
const LATE_MS: f64 = 250.0;

// === impl Upgrade ===

impl Upgrade {
    fn line(&self) -> Finding {
        let (verdict, text) = match self {
            Self::Passes => (Verdict::Good, "passes: a WebSocket can be opened".to_owned()),
            Self::Stripped => (
                Verdict::Bad,
                "the hub speaks WebSocket, and something in between takes `Upgrade` away: have it passed on (nginx: `proxy_http_version \
                 1.1`, `proxy_set_header Upgrade $http_upgrade` and `proxy_set_header Connection upgrade`)"
                    .to_owned(),
            ),
            Self::NotSpoken => (Verdict::Note, "this hub speaks none".to_owned()),
            Self::Refused(status) => {
                (Verdict::Bad, format!("a request for one is answered with status {status}, which is no hub's answer"))
            }
        };
        Finding::new("WebSocket", verdict, text)
    }
}

// === impl Silences ===

impl Silences {
    fn lines(&self) -> Vec<Finding> {
        let kinds = [
            ("silent stream", self.stream.as_ref(), HEARTBEAT.as_secs_f64(), "heartbeat"),
            ("held poll", self.long_poll.as_ref(), LONG_POLL_WAIT.as_secs_f64(), "wait"),
        ];
        let mut lines: Vec<_> = kinds
            .into_iter()
            .filter_map(|(about, silence, usual, parameter)| Some(silence?.line(about, usual, parameter)))
            .collect();
        if let Some(silence) = &self.unused {
            let text = match silence.cut_after {
                Some(seconds) => format!(
                    "a connection on which nothing is asked is closed after {} s: a client that polls less often makes a new one each time",
                    short(seconds)
                ),
                None => format!(
                    "a connection on which nothing is asked was still open after {} s",
                    short(silence.outlived)
                ),
            };
            lines.push(Finding::new("unused", Verdict::Note, text));
        }
        lines
    }
}

// === impl Silence ===

impl Silence {
    fn line(&self, about: &'static str, usual: f64, parameter: &str) -> Finding {
        let Some(seconds) = self.cut_after else {
            let text = format!("was still there after {} s of silence", short(self.outlived));
            return Finding::new(about, Verdict::Good, text);
        };
        let status = self.status.map(|status| format!(", with status {status}")).unwrap_or_default();
        let cut = format!("is cut after {} s of silence{status}", short(seconds));
        // What is cut a little later than the next sign of life would be cut by chance.
        if seconds > 1.2 * usual {
            let text = format!("{cut}, which the usual `{parameter}` of {} s prevents", short(usual));
            return Finding::new(about, Verdict::Note, text);
        }
        let most = (seconds * 0.5).floor().max(1.0);
        let text = format!(
            "{cut}, before the usual `{parameter}` of {} s is over: let it be silent for longer, or have clients ask with \
             `{parameter}={most}`",
            short(usual)
        );
        Finding::new(about, Verdict::Bad, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(seconds: f64) -> Silence {
        Silence { cut_after: Some(seconds), outlived: seconds - 0.1, status: None }
    }

    #[test]
    fn what_cuts_before_the_usual_sign_of_life_is_in_the_way() {
        let silences =
            Silences { stream: Some(cut(60.1)), long_poll: Some(cut(10.0)), unused: Some(cut(75.0)) };
        let lines = silences.lines();
        let verdicts: Vec<_> = lines.iter().map(|line| line.verdict).collect();
        assert_eq!(verdicts, [Verdict::Note, Verdict::Bad, Verdict::Note], "{lines:?}");
        assert!(lines[1].text.contains("`wait=5`"), "{lines:?}");
        let quiet = Silence { outlived: 12.3, ..Silence::default() }.line("silent stream", 15.0, "heartbeat");
        assert_eq!((quiet.verdict, &*quiet.text), (Verdict::Good, "was still there after 12.3 s of silence"));
    }

    #[test]
    fn what_is_held_back_is_not_measured() {
        let held = Streaming { held_back: true, held_back_bytes: Some(8_192), ..Streaming::default() };
        assert!(held.line().text.contains("8,190 B"), "{}", held.line().text);
        let findings = Findings { streams: Some(held), ..Findings::default() };
        assert_eq!(findings.blocked()[0].0, Transport::Sse);
        let late = Streaming {
            first_byte_ms: Some(2.0),
            delay_ms: Some(1_000.0),
            publish_ms: Some(3.0),
            ..Streaming::default()
        };
        assert_eq!((late.line().verdict, late.passes()), (Verdict::Bad, true));
    }

    #[test]
    fn compression_that_holds_back_is_told_from_one_that_does_not() {
        let pages = Some(Pages { coding: Some("gzip".into()), ..Pages::default() });
        let packed = |held_back| Streaming { coding: Some("gzip".into()), held_back, ..Streaming::default() };
        for (compressed_streams, verdict) in
            [(None, Verdict::Note), (Some(packed(false)), Verdict::Note), (Some(packed(true)), Verdict::Bad)]
        {
            let findings = Findings { pages: pages.clone(), compressed_streams, ..Findings::default() };
            assert_eq!(findings.compression().unwrap().verdict, verdict);
        }
        let plain = Findings { pages: Some(Pages::default()), ..Findings::default() };
        assert_eq!(plain.compression().unwrap().verdict, Verdict::Good);
    }
}
