use serde::Deserialize;
use serde_json::{Map, Value};
use tidings_protocol::{EventObject, Gap, Object, Problem};
use tidings_websocket::CloseCode;

use crate::answer::{self, Failure};
use crate::received::Received;
use crate::{Interruption, Published};

/// What a message of a hub says.
#[derive(Debug)]
pub(super) enum Reply {
    /// Something of the subscription.
    Told(Received),
    /// What became of a publication.
    Acknowledged(u64, Acknowledgement),
    /// The subscription is refused.
    Refused(Failure),
    /// Nothing that matters here, or that is known.
    Nothing,
}

/// What became of a publication.
#[derive(Debug)]
pub(crate) enum Acknowledgement {
    /// It is published.
    Published(Published),
    /// It is not.
    Refused(Failure),
}

/// The members of a message that tell which one it is. An event's own are not among them, but for its id.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default, rename = "ref")]
    reference: Option<Value>,
    #[serde(default)]
    gap: Option<Gap>,
    #[serde(default)]
    end: Option<End>,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    problem: Option<Map<String, Value>>,
    #[serde(default)]
    published: Option<Receipt>,
    #[serde(default)]
    id: Option<String>,
}

#[derive(Deserialize)]
struct End {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Receipt {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    repeated: Option<bool>,
}

// === impl Reply ===

impl Reply {
    pub(super) fn parse(text: &str) -> Result<Self, Interruption> {
        let Object(message) = parse::<Message>(text)?;
        if let Some(reference) = message.reference.as_ref().and_then(Value::as_u64) {
            return Ok(match (message.published, message.problem) {
                (Some(receipt), _) => {
                    let ids = receipt.id.into_iter().collect();
                    let published = Published::new(ids, receipt.repeated.unwrap_or(false));
                    Self::Acknowledged(reference, Acknowledgement::Published(published))
                }
                (None, Some(problem)) => {
                    let refused = Acknowledgement::Refused(answer::refused(told(&problem), None));
                    Self::Acknowledged(reference, refused)
                }
                (None, None) => Self::Nothing,
            });
        }
        if message.sub.is_some_and(|sub| !sub.is_empty()) {
            return Ok(Self::Nothing);
        }
        Ok(match message {
            Message { problem: Some(problem), .. } => Self::Refused(answer::refused(told(&problem), None)),
            Message { gap: Some(gap), .. } => Self::Told(Received::Gap(gap)),
            Message { end: Some(end), .. } => {
                Self::Told(Received::End { cursor: end.id, reason: end.reason })
            }
            Message { next: Some(cursor), .. } => Self::Told(Received::Cursor(cursor)),
            Message { id: Some(_), .. } => Self::Told(Received::Event(parse::<EventObject>(text)?.0.into())),
            _ => Self::Nothing,
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<Object<T>, Interruption> {
    serde_json::from_str(text).map_err(|error| Interruption::Malformed(error.to_string()))
}

fn told(problem: &Map<String, Value>) -> Problem {
    let status = problem.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    answer::told(problem, status.unwrap_or(0))
}

/// What the end of a socket means. A hub's codes from 4400 on are statuses of HTTP.
pub(super) fn closed(code: Option<CloseCode>, reason: &str, is_hub: bool) -> Failure {
    let Some(code) = code else { return Interruption::Ended.into() };
    match code {
        CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode(1012) => Interruption::Ended.into(),
        CloseCode(1013) => Interruption::Postponed.into(),
        CloseCode(4400..=4599) if is_hub => {
            let status = code.0 - 4000;
            let mut problem = answer::told(&Map::new(), status);
            problem.kind = "urn:tidings:closed".into();
            reason.clone_into(&mut problem.detail);
            answer::refused(problem, None)
        }
        _ => Interruption::Broken(format!("the socket was closed with {code}: {reason}")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Received {
        match Reply::parse(text) {
            Ok(Reply::Told(told)) => told,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn messages_tell_what_a_stream_tells() {
        assert!(
            matches!(told(r#"{"subscribed":"","next":"q7m2x9-1"}"#), Received::Cursor(at) if at == "q7m2x9-1")
        );
        assert!(matches!(told(r#"{"next":"q7m2x9-2"}"#), Received::Cursor(at) if at == "q7m2x9-2"));
        let gap = r#"{"gap":{"reason":"expired","since":"q7m2x9-1","resumed":"q7m2x9-4"}}"#;
        assert!(matches!(told(gap), Received::Gap(gap) if gap.resumed == "q7m2x9-4"));
        let Received::End { cursor, reason } = told(r#"{"end":{"id":"q7m2x9-9","reason":"aborted"}}"#) else {
            panic!()
        };
        assert_eq!((cursor.as_deref(), reason.as_deref()), (Some("q7m2x9-9"), Some("aborted")));
        let event =
            r#"{"id":"q7m2x9-5","topic":"a","event":"t","time":"2026-11-22T05:46:19.123Z","data":{"x": 1}}"#;
        let Received::Event(event) = told(event) else { panic!("no event") };
        assert_eq!((event.id(), event.topic(), &*event.text()), ("q7m2x9-5", "a", r#"{"x": 1}"#));
    }

    #[test]
    fn what_is_for_others_or_unknown_is_passed_over() {
        for text in [
            r#"{"sub":"other","next":"q7m2x9-1"}"#,
            r#"{"subscribed":""}"#,
            r#"{"token":{"until":"2026-11-22T05:46:19Z"}}"#,
            r#"{"later":1}"#,
            r#"{"ref":7}"#,
        ] {
            assert!(matches!(Reply::parse(text), Ok(Reply::Nothing)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_passed_over() {
        for text in ["", "[]", "hello", r#"{"id":"q7m2x9-1"}"#, r#"{"gap":{}}"#, r#"{"next":1}"#] {
            assert!(matches!(Reply::parse(text), Err(Interruption::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn publications_are_acknowledged() {
        let Ok(Reply::Acknowledged(7, Acknowledgement::Published(published))) =
            Reply::parse(r#"{"published":{"id":"q7m2x9-5","time":"t","repeated":true},"ref":7}"#)
        else {
            panic!("no receipt")
        };
        assert_eq!((published.id(), published.is_repeated()), (Some("q7m2x9-5"), true));
        let refused = r#"{"problem":{"type":"urn:tidings:topic-closed","title":"t","status":409,"detail":"d"},"ref":8}"#;
        let Ok(Reply::Acknowledged(8, Acknowledgement::Refused(Failure::Lasting(problem)))) =
            Reply::parse(refused)
        else {
            panic!("no refusal")
        };
        assert_eq!((problem.status, &*problem.detail), (409, "d"));
    }

    #[test]
    fn a_refusal_is_as_final_as_that_of_an_answer() {
        let refused = |status: u16| {
            let text = format!(r#"{{"problem":{{"type":"urn:tidings:x","status":{status}}},"sub":""}}"#);
            match Reply::parse(&text) {
                Ok(Reply::Refused(failure)) => failure,
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(refused(400), Failure::Lasting(_)));
        assert!(matches!(refused(403), Failure::Unauthorized(_)));
        assert!(matches!(refused(503), Failure::Passing { .. }));
    }

    #[test]
    fn the_codes_of_an_end_mean_what_the_statuses_of_answers_mean() {
        for code in [None, Some(1000), Some(1001), Some(1012)] {
            let failure = closed(code.map(CloseCode), "", true);
            assert!(matches!(failure, Failure::Passing { reason: Interruption::Ended, .. }), "{code:?}");
        }
        let again = closed(Some(CloseCode(1013)), "", true);
        assert!(matches!(again, Failure::Passing { reason: Interruption::Postponed, .. }));
        assert!(matches!(closed(Some(CloseCode::UNAUTHORIZED), "", true), Failure::Unauthorized(_)));
        assert!(matches!(closed(Some(CloseCode(4404)), "", true), Failure::Lasting(_)));
        let busy = closed(Some(CloseCode::TOO_MANY), "calm down", true);
        let Failure::Passing { reason: Interruption::Unavailable(problem), .. } = busy else {
            panic!("{busy:?}")
        };
        assert_eq!((problem.status, &*problem.detail), (429, "calm down"));
        // What does not speak the protocol says nothing final.
        let foreign = closed(Some(CloseCode(4404)), "", false);
        assert!(matches!(foreign, Failure::Passing { reason: Interruption::Broken(_), .. }));
        let wrong = closed(Some(CloseCode::PROTOCOL), "why", true);
        let Failure::Passing { reason: Interruption::Broken(text), .. } = wrong else { panic!("{wrong:?}") };
        assert_eq!(text, "the socket was closed with 1002 (protocol error): why");
    }
}
