//! What every client does alike, as `clients/vectors` says it.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answer::{self, Failure};
use crate::backoff::Backoff;
use crate::ladder::Ladder;
use crate::received::Received;
use crate::retry_after::retry_after;
use crate::{Interruption, Transport, defaults};

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!("../../../clients/vectors/", $name))).expect(concat!(
            "clients/vectors/",
            $name,
            " is as this test reads it"
        ))
    };
}

#[derive(Deserialize)]
struct Cases<T> {
    #[serde(default)]
    now: Option<String>,
    cases: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RetryAfter {
    name: String,
    value: String,
    milliseconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps<T> {
    name: String,
    #[serde(default)]
    transports: Vec<String>,
    steps: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rest {
    #[serde(default)]
    retry: Option<String>,
    #[serde(default)]
    good: bool,
    #[serde(default)]
    fail: bool,
    #[serde(default)]
    retry_after: Option<u64>,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    to: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Climb {
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    pass: u64,
    #[serde(default)]
    advice: bool,
    next: String,
    #[serde(default)]
    at_once: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    name: String,
    wanted: String,
    status: u16,
    #[serde(rename = "type")]
    kind: Option<String>,
    body: String,
    outcome: String,
}

fn cases<T: DeserializeOwned>(cases: Cases<T>) -> Vec<T> {
    assert!(!cases.cases.is_empty());
    cases.cases
}

/// What a line of a stream tells, by the parser that reads streams.
fn told(stream: &str) -> Vec<Received> {
    let mut told = Vec::new();
    let feed = |item| told.extend(Received::from_stream(item).unwrap());
    tidings_event_stream::Parser::new().feed(stream.as_bytes(), feed).unwrap();
    told
}

#[test]
fn the_time_that_an_answer_names() {
    let all: Cases<RetryAfter> = vectors!("retry-after.json");
    let now: tidings_protocol::Timestamp = all.now.as_deref().unwrap().parse().unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.as_millis());
    for case in cases(all) {
        let value = reqwest::header::HeaderValue::from_str(&case.value).unwrap();
        let headers = reqwest::header::HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, value)]);
        let named = retry_after(&headers, now).map(|time| u64::try_from(time.as_millis()).unwrap());
        assert_eq!(named, case.milliseconds, "{}", case.name);
    }
}

#[test]
fn how_long_to_rest() {
    /// So often each case is run, to see how far its delays go.
    const RUNS: usize = 500;
    for case in cases::<Steps<Rest>>(vectors!("backoff.json")) {
        let mut longest = vec![Duration::ZERO; case.steps.len()];
        for _ in 0..RUNS {
            let mut backoff = Backoff::new();
            for (step, longest) in case.steps.iter().zip(&mut longest) {
                if let Some(retry) = &step.retry {
                    for told in told(&format!("retry: {retry}\n\n")) {
                        if let Received::Retry(base) = told {
                            backoff.set_base(base);
                        }
                    }
                } else if step.good {
                    backoff.reset();
                } else {
                    assert!(step.fail, "{}", case.name);
                    let delay = backoff.next(step.retry_after.map(Duration::from_millis));
                    let (from, to) = (Duration::from_millis(step.from), Duration::from_millis(step.to));
                    assert!(from <= delay && delay <= to, "{}: {delay:?}", case.name);
                    *longest = delay.max(*longest);
                }
            }
        }
        for (step, longest) in case.steps.iter().zip(longest).filter(|(step, _)| step.fail) {
            let upper = Duration::from_millis(step.to) - Duration::from_millis(step.to - step.from) / 10;
            assert!(longest >= upper, "{}: {longest:?} of {} ms", case.name, step.to);
        }
    }
}

#[test]
fn which_transport_to_use() {
    let all = [vectors!("ladder.json"), vectors!("websocket.json"), vectors!("advice.json")];
    for case in all.into_iter().flat_map(cases::<Steps<Climb>>) {
        let mut now = Instant::now();
        let transports = case.transports.iter().map(|name| transport(name)).collect();
        let mut ladder = Ladder::new(transports, defaults::STREAM_AGAIN);
        for (number, step) in case.steps.iter().enumerate() {
            now += Duration::from_millis(step.pass);
            let mut at_once = false;
            match step.outcome.as_deref() {
                None if step.advice => _ = ladder.advised(now),
                None => {}
                Some("good") => ladder.succeeded(),
                Some(kind) => at_once = ladder.failed(&interruption(kind, step.status), now),
            }
            let next = (ladder.rung(now), at_once);
            assert_eq!(next, (transport(&step.next), step.at_once), "{}, step {number}", case.name);
        }
    }
}

fn transport(name: &str) -> Transport {
    let all = [Transport::WebSocket, Transport::Sse, Transport::LongPoll, Transport::Poll];
    all.into_iter().find(|transport| transport.as_str() == name).unwrap()
}

fn interruption(kind: &str, status: u16) -> Interruption {
    let after = Duration::ZERO;
    match kind {
        "unreachable" => Interruption::Connect(String::new()),
        "broken" => Interruption::Broken(String::new()),
        "ended" => Interruption::Ended,
        "postponed" => Interruption::Postponed,
        "late" => Interruption::TimedOut { after },
        "stalled" => Interruption::Stalled { after },
        "silent" => Interruption::Silent { after },
        "token" => Interruption::Token("none".into()),
        "unexpected" => Interruption::Unexpected { what: String::new() },
        "malformed" => Interruption::Malformed(String::new()),
        "unavailable" => Interruption::Unavailable(crate::Problem {
            kind: "about:blank".into(),
            title: String::new(),
            status,
            detail: String::new(),
        }),
        other => unreachable!("`{other}` is no kind"),
    }
}

#[tokio::test]
async fn which_answers_are_final() {
    for case in cases::<Answer>(vectors!("answers.json")) {
        let mut response = http::Response::builder().status(case.status);
        if let Some(kind) = &case.kind {
            response = response.header("content-type", kind);
        }
        let response = reqwest::Response::from(response.body(case.body).unwrap());
        let outcome = match answer::check(response, &case.wanted).await {
            Ok(Some(_)) => "taken",
            Ok(None) => "ended",
            Err(Failure::Passing { .. }) => "retry",
            Err(Failure::Unauthorized(_)) => "token",
            Err(Failure::Lasting(_)) => "final",
            Err(Failure::Untrusted(_)) => "untrusted",
        };
        assert_eq!(outcome, case.outcome, "{}", case.name);
    }
}
