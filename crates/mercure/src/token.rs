//! What a token allows: by the claim `mercure` of 0.x, or by the `authorization_details` of 1.0 (RFC 9396).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tidings_http::{Caller, Refusal, Verified};
use url::Url;

use crate::defaults;
use crate::matcher::{MatchType, Matcher, Matchers};

/// A token, and what it allows.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) caller: Caller,
    /// Whether it is one of 1.0.
    pub(crate) is_new: bool,
    pub(crate) publish: Option<Matchers>,
    pub(crate) subscribe: Option<Arc<Matchers>>,
    payloads: Vec<(Matchers, Value)>,
    payload: Option<Value>,
}

/// Matchers, and what else a token says, as they are read.
#[derive(Default)]
struct Claims {
    publish: Option<Vec<Matcher>>,
    subscribe: Option<Vec<Matcher>>,
    payloads: Vec<(Vec<Matcher>, Value)>,
    payload: Option<Value>,
    count: usize,
}

/// The claims of 0.x: the second is the same for those who want claims to be URLs.
const CLAIMS: [&str; 2] = ["mercure", "https://mercure.rocks/"];
const ACCESS_TOKENS: [&str; 2] = ["at+jwt", "application/at+jwt"];

// === impl Token ===

impl Token {
    /// Reads what a token says that is signed as it should be.
    pub(crate) fn new(
        Verified { token_type, claims }: Verified<Map<String, Value>>,
        audience: Option<&str>,
        base: &Url,
    ) -> Result<Self, Refusal> {
        let is_access_token =
            token_type.is_some_and(|own| ACCESS_TOKENS.iter().any(|name| own.eq_ignore_ascii_case(name)));
        let until = match claims.get("exp") {
            None => None,
            Some(end) => Some(moment(end).ok_or_else(|| bad("its `exp` is no time"))?),
        };
        let mut read = Claims::default();
        if let Some(details) = claims.get("authorization_details") {
            if !is_access_token {
                return Err(bad("it has `authorization_details`, and its `typ` is not `at+jwt` (RFC 9068)"));
            }
            read.details(details)?;
        }
        if is_access_token {
            if until.is_none() {
                return Err(bad("it has no `exp`, and its `typ` is `at+jwt` (RFC 9068)"));
            }
            if let Some(audience) = audience
                && !is_for(claims.get("aud"), audience)
            {
                return Err(bad(format!("its `aud` is not `{audience}`")));
            }
        }
        for name in CLAIMS {
            if let Some(claim) = claims.get(name) {
                read.claim(name, claim)?;
            }
        }
        let compile = |matchers: &Vec<Matcher>| {
            Matchers::new(matchers, base).map_err(|error| bad(format!("one of its matchers: {error}")))
        };
        let payloads =
            read.payloads.into_iter().map(|(matchers, payload)| Ok((compile(&matchers)?, payload)));
        Ok(Self {
            caller: Caller {
                subject: claims.get("sub").and_then(Value::as_str).map(Arc::from),
                until,
                has_token: true,
            },
            is_new: is_access_token,
            payloads: payloads.collect::<Result<_, Refusal>>()?,
            publish: read.publish.as_ref().map(compile).transpose()?,
            subscribe: read.subscribe.as_ref().map(compile).transpose()?.map(Arc::new),
            payload: read.payload,
        })
    }

    /// What the token says of a subscription with this matcher, for those who look at who is there.
    pub(crate) fn payload(&self, matcher: &str, base: &Url) -> Option<&Value> {
        let own = self.payloads.iter().find(|(matchers, _)| matchers.matches(matcher, base));
        own.map(|(_, payload)| payload).or(self.payload.as_ref()).filter(|payload| !payload.is_null())
    }
}

// === impl Claims ===

impl Claims {
    fn count(&mut self, more: usize) -> Result<(), Refusal> {
        self.count += more;
        if self.count > defaults::TOKEN_MATCHERS {
            return Err(bad(format!("it has more than {} matchers", defaults::TOKEN_MATCHERS)));
        }
        Ok(())
    }

    /// The claim of 0.x. Its matchers are texts, or objects.
    fn claim(&mut self, name: &str, claim: &Value) -> Result<(), Refusal> {
        let Value::Object(claim) = claim else { return Err(bad(format!("its `{name}` is no object"))) };
        for action in ["publish", "subscribe"] {
            let list = match claim.get(action) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(list)) => list,
                Some(_) => return Err(bad(format!("its `{name}.{action}` is no list"))),
            };
            self.count(list.len())?;
            let mut matchers = Vec::with_capacity(list.len());
            for entry in list {
                let what = || format!("an entry of its `{name}.{action}`");
                match entry {
                    Value::String(text) => {
                        let matcher = Matcher::new(MatchType::Template, text);
                        matchers.push(matcher.map_err(|error| bad(format!("{}: {error}", what())))?);
                    }
                    Value::Object(entry) => {
                        let matcher = object(entry, &what)?;
                        if let Some(payload) = entry.get("payload").filter(|_| action == "subscribe") {
                            self.payloads.push((vec![matcher.clone()], payload.clone()));
                        }
                        matchers.push(matcher);
                    }
                    _ => return Err(bad(format!("{} is neither a string nor an object", what()))),
                }
            }
            let own = if action == "publish" { &mut self.publish } else { &mut self.subscribe };
            own.get_or_insert_default().extend(matchers);
        }
        self.payload = self.payload.take().or_else(|| claim.get("payload").cloned());
        Ok(())
    }

    /// The `authorization_details` of 1.0. Where one of those for Mercure is wrong, the token is.
    fn details(&mut self, details: &Value) -> Result<(), Refusal> {
        let Value::Array(details) = details else {
            return Err(bad("its `authorization_details` is no list"));
        };
        for detail in details {
            let Value::Object(detail) = detail else {
                return Err(bad("an entry of its `authorization_details` is no object"));
            };
            if detail.get("type").and_then(Value::as_str) != Some("mercure") {
                continue;
            }
            let list = |name: &str| match detail.get(name) {
                Some(Value::Array(list)) if !list.is_empty() => Ok(list),
                _ => Err(bad(format!("an entry of its `authorization_details` has no `{name}`"))),
            };
            let (actions, topics) = (list("actions")?, list("topics")?);
            self.count(topics.len())?;
            let what = || "a topic of its `authorization_details`".to_owned();
            let read = |entry: &Value| match entry {
                Value::Object(entry) => object(entry, &what),
                _ => Err(bad(format!("{} is no object", what()))),
            };
            let matchers: Vec<Matcher> = topics.iter().map(read).collect::<Result<_, _>>()?;
            for action in actions {
                match action.as_str() {
                    Some("publish") => self.publish.get_or_insert_default().extend(matchers.iter().cloned()),
                    Some("subscribe") => {
                        self.subscribe.get_or_insert_default().extend(matchers.iter().cloned());
                        // Also where there is none: the first that matches counts.
                        let payload = detail.get("payload").cloned().unwrap_or_default();
                        self.payloads.push((matchers.clone(), payload));
                    }
                    _ => {
                        return Err(bad(
                            "an action of its `authorization_details` is none of `publish` and `subscribe`",
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A matcher as an object: `{"match": …, "match_type": …}`.
fn object(entry: &Map<String, Value>, what: &dyn Fn() -> String) -> Result<Matcher, Refusal> {
    let text = entry.get("match").and_then(Value::as_str);
    let text = text.ok_or_else(|| bad(format!("{} has no `match`", what())))?;
    let kind = match entry.get("match_type").or_else(|| entry.get("matchType")) {
        None => MatchType::Exact,
        Some(name) => name.as_str().and_then(MatchType::named).ok_or_else(|| {
            bad(format!("{} has a `match_type` that is none of `exact` and `urlpattern`", what()))
        })?,
    };
    Matcher::new(kind, text).map_err(|error| bad(format!("{}: {error}", what())))
}

fn bad(reason: impl std::fmt::Display) -> Refusal {
    Refusal::bad_token(format!("the token is refused: {reason}"))
}

fn is_for(audience: Option<&Value>, own: &str) -> bool {
    match audience {
        Some(Value::String(text)) => text == own,
        Some(Value::Array(texts)) => texts.iter().any(|text| text.as_str() == Some(own)),
        _ => false,
    }
}

/// A time of a token (RFC 7519, section 2).
fn moment(seconds: &Value) -> Option<SystemTime> {
    /// Later than this nobody waits, and the arithmetic of clocks ends somewhere.
    const LATEST: f64 = 253_402_300_799.0;
    let seconds = Duration::try_from_secs_f64(seconds.as_f64()?.min(LATEST)).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(seconds)
}
