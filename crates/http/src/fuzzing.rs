//! What the fuzz targets of this crate do with their input. See `fuzz/README.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Uri};
use jsonwebtoken::{Algorithm, EncodingKey};
use tidings_protocol::{Cursor, Epoch, Selector, Start, limits};

use crate::api::auth::Access;
use crate::api::problem::Refusal;
use crate::api::query::{Query, ReadOptions, path_topic, selector};
use crate::delivery::frames::Form;
use crate::delivery::parking::{Known, REQUEST_BYTES, Template};
use crate::{Auth, AuthConfig, Cors, Key, defaults};

/// The first line of the input is the target of a request, the second a `Last-Event-ID`, the third an `Accept`.
/// Whatever they are, what is made of them is within its bounds; and where a poll could be known again by its bytes,
/// what is taken for its cursor is what the routes take for it.
pub fn query(input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let (target, id, accept) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    let Ok(uri) = Uri::try_from(target) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in [("last-event-id", id), (ACCEPT.as_str(), accept)] {
        let Some(value) = value else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.insert(name, value);
    }
    drop(Form::negotiate(&headers));
    if let Ok(text) = path_topic(uri.path())
        && let Ok(one) = selector(&text)
    {
        assert_eq!(one.as_str(), text);
    }
    let query = Query::new(uri.query());
    if let Ok(selectors) = query.selectors() {
        assert!((1..=limits::SELECTORS).contains(&selectors.len()));
    }
    drop((query.flag("close"), query.number("limit", defaults::TOPICS, defaults::MAX_TOPICS)));
    let Ok(options) = ReadOptions::new(&query, &headers) else { return };
    assert!((1..=limits::PAGE_EVENTS).contains(&options.limit));
    assert!(options.types.len() <= defaults::EVENT_TYPES);
    let bounds = defaults::MIN_HEARTBEAT..=defaults::MAX_HEARTBEAT;
    assert!(options.heartbeat.is_none_or(|interval| bounds.contains(&interval)));
    if let (Some(Start::Cursor(cursor)), 1) = (&options.start, options.starts) {
        known_again(target, id, *cursor, &options);
    }
}

/// A request that differs from another in its cursor alone asks for the same from another place.
fn known_again(target: &[u8], id: Option<&[u8]>, cursor: Cursor, options: &ReadOptions) {
    let mut head = [b"GET ", target, b" HTTP/1.1\r\n"].concat();
    if let Some(id) = id {
        head.extend_from_slice(&[b"Last-Event-ID: ", id, b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    let Some(template) = Template::new(&head, cursor, 1) else { return };
    assert!(head.len() <= REQUEST_BYTES);
    let other = Cursor::new(Epoch::from_random(7), 4_711);
    let text = cursor.to_string();
    let place = memchr::memmem::find(&head, text.as_bytes()).expect("the cursor that it was made with");
    let head = [&head[..place], other.to_string().as_bytes(), &head[place + text.len()..]].concat();
    assert_eq!(template.know(&head), Known::Again(other));
    let end = memchr::memmem::rfind(&head, b" HTTP/1.1\r\n").expect("the line that was written");
    let (line, rest) = (&head[..end], &head[end + b" HTTP/1.1\r\n".len()..]);
    let uri = Uri::try_from(&line[b"GET ".len()..]).expect("a target as before");
    let mut headers = HeaderMap::new();
    if let Some(id) = rest.strip_prefix(b"Last-Event-ID: ") {
        headers.insert("last-event-id", HeaderValue::from_bytes(id.trim_ascii_end()).expect("as before"));
    }
    let found = ReadOptions::new(&Query::new(uri.query()), &headers);
    let expected = ReadOptions { start: Some(Start::Cursor(other)), ..options.clone() };
    assert_eq!(found, Ok::<_, Refusal>(expected));
}

/// The first line of the input is the header of a token and the rest its claims, both as the hub would decode them. Where
/// the key of the hub signs it, nothing but HS256 is accepted, and the bearer may do what the claims say. Taken as a token
/// as it is, the input is refused.
pub fn claims(input: &[u8]) {
    const SECRET: &[u8] = b"a secret that is only used for fuzzing";
    let Ok(key) = Key::hs256(SECRET) else { return };
    let config = AuthConfig { keys: vec![key], ..AuthConfig::default() };
    let auth = Auth::new(config).expect("there is no URL");
    if let Ok(text) = std::str::from_utf8(input) {
        let access = ask(&auth, text);
        assert!(access.is_none_or(|access| access.subscribe(&[Selector::all()]).is_err()));
    }
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (header, claims) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signed =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    let Some(access) = ask(&auth, &format!("{message}.{}", signed.expect("a secret signs"))) else { return };
    // What nobody looks at may be malformed in ways that matter to nobody.
    let object = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).ok();
    let (Some(header), Some(claims)) = (object(header), object(claims)) else { return };
    assert_eq!(header["alg"], "HS256");
    let named = |name: &str| {
        let texts = claims["tidings"][name].as_array().into_iter().flatten();
        texts.map(|text| Selector::new(text.as_str().unwrap_or_default()).expect("it was understood"))
    };
    for selector in named("subscribe") {
        assert!(access.subscribe(&[selector]).is_ok());
    }
    let all = named("subscribe").any(|selector| selector == Selector::all());
    assert_eq!(access.subscribe(&[Selector::all()]).is_ok(), all);
    assert!(access.remaining().is_some());
}

/// What a TLS client sends after the handshake: see `tls/fuzzing.rs` for how the input is read.
pub fn tls_records(input: &[u8]) {
    crate::server::tls::records(input);
}

/// What the bearer of a token may do; nothing where it is refused, or is none.
fn ask(auth: &Auth, token: &str) -> Option<Access> {
    let request = http::Request::get("/").header("authorization", format!("Bearer {token}"));
    let (parts, ()) = request.body(()).ok()?.into_parts();
    auth.access(&parts, &Cors::default()).now_or_never().expect("no key is fetched").ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(target: &str, run: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|file| run(&std::fs::read(file).unwrap()));
    }

    #[test]
    fn what_fuzzing_found_holds() {
        replay("query", super::query);
        replay("token_claims", super::claims);
        replay("tls_records", super::tls_records);
    }
}
