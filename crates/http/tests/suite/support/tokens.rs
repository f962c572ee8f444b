use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tidings_http::{Auth, AuthConfig, Key};

use super::{Running, Setup};

/// What the hubs of the tests share with whoever signs.
pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes, or a few more";

/// A moment so many seconds from now, or before, as tokens have it.
pub(crate) fn moment(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + from_now
}

/// Claims that are valid for an hour.
pub(crate) fn claims(publish: &[&str], subscribe: &[&str]) -> Value {
    json!({"exp": moment(3_600), "tidings": {"publish": publish, "subscribe": subscribe}})
}

/// The same with others set, or with `null` taken away.
pub(crate) fn with(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

/// Signs with the secret.
pub(crate) fn sign(claims: &Value) -> String {
    sign_as(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET))
}

pub(crate) fn sign_as(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    encode(header, claims, key).unwrap()
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A hub that takes tokens signed with the secret, and whatever else is set.
pub(crate) async fn hub_with(setup: Setup, config: AuthConfig) -> Running {
    let hub = setup.hub();
    let keys = std::iter::once(Key::hs256(SECRET).unwrap()).chain(config.keys).collect();
    let auth = Auth::new(AuthConfig { keys, ..config }).unwrap();
    setup.start_with(hub, auth).await
}

pub(crate) async fn hub() -> Running {
    hub_with(Setup::new(), AuthConfig::default()).await
}

/// A while that tokens of tests are valid for.
pub(crate) const SHORTLY: Duration = Duration::from_secs(2);
