use std::error::Error as _;

use tidings_engine::EngineError;
use tokio_postgres::error::SqlState;

/// What Postgres will refuse until somebody changes something.
const REFUSALS: [&SqlState; 7] = [
    &SqlState::INVALID_PASSWORD,
    &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    &SqlState::INVALID_CATALOG_NAME,
    &SqlState::INSUFFICIENT_PRIVILEGE,
    &SqlState::DUPLICATE_TABLE,
    &SqlState::DUPLICATE_FUNCTION,
    &SqlState::FEATURE_NOT_SUPPORTED,
];

/// What an error means for the log. `what` fits after "failed to".
pub(crate) fn failed(what: &str, error: &tokio_postgres::Error) -> EngineError {
    let reason = format!("failed to {what}: {}", text(error));
    let refused = error.code().is_some_and(|code| REFUSALS.contains(&code));
    if refused || is_about_login(error) { EngineError::refused(reason) } else { EngineError::away(reason) }
}

/// Whether there is no room on the server's disk.
pub(crate) fn is_full(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::DISK_FULL)
}

/// An error with its causes. What Postgres says in detail is left out, as it may hold what was published.
fn text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Whether TLS or a missing password is the reason, which have no code. A server that ends in the middle of a handshake
/// is away.
fn is_about_login(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    let begins = |begin: &&str| text.starts_with(*begin);
    ["error performing TLS handshake", "authentication error", "invalid configuration"].iter().any(begins)
        && !was_cut(error)
}

/// Whether the reason is in the connection, and not in what was said on it.
fn was_cut(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_cut = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
        // What TLS has against the other side comes as an error of the connection, too.
        error.get_ref().is_none_or(|inner| inner.downcast_ref::<rustls::Error>().is_none())
    });
    is_cut || error.source().is_some_and(was_cut)
}
