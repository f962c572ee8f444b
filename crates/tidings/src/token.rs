//! `tidings token`: makes tokens for a hub.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tidings_protocol::Selector;

use crate::failure::WrongArguments;
use crate::settings::{AuthSettings, Settings};
use crate::value::Span;

/// What `tidings token` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "The token is signed with the secret that the hub has, from `--auth-hs256-secret-file`, from \
    TIDINGS_AUTH_HS256_SECRET or from the hub's configuration file, or with a private key whose public one the hub has.\n\n\
    Exit codes: 0 made; 1 failed; 2 wrong arguments or settings."
)]
pub(crate) struct Arguments {
    /// What its bearer may publish to; repeatable
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    publish: Vec<Selector>,

    /// What its bearer may subscribe to, and list; repeatable
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    subscribe: Vec<Selector>,

    /// What its bearer may end, without publishing anything else; repeatable
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    close: Vec<Selector>,

    /// What its bearer may delete; repeatable
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    delete: Vec<Selector>,

    /// A relay that its bearer may use, and read the topics of; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    relay: Vec<String>,

    /// Lets its bearer read the metrics
    #[arg(long)]
    metrics: bool,

    /// The subject (`sub`): who holds the token; some limits count by it
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,

    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: Span,

    /// A PEM file with a private key of RSA, P-256 or Ed25519, to sign with instead of the secret
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,

    /// The name of that key (`kid`), where the hub has several
    #[arg(long, value_name = "TEXT", requires = "private_key_file")]
    key_id: Option<String>,

    /// The hub's configuration file
    #[arg(long, env = "TIDINGS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    hub: Hub,
}

/// What the hub goes by. Its settings have the same names.
#[derive(Debug, Clone, Args)]
struct Hub {
    /// A file with the secret to sign with
    #[arg(long, env = "TIDINGS_AUTH_HS256_SECRET_FILE", value_name = "FILE")]
    auth_hs256_secret_file: Option<PathBuf>,

    /// The audience (`aud`) that the hub asks for
    #[arg(long, env = "TIDINGS_AUTH_AUDIENCE", value_name = "TEXT")]
    auth_audience: Option<String>,

    /// The issuer (`iss`) that the hub asks for
    #[arg(long, env = "TIDINGS_AUTH_ISSUER", value_name = "TEXT")]
    auth_issuer: Option<String>,
}

/// The shortest secret that a hub takes.
const SECRET_BYTES: usize = 32;

#[derive(Debug, Serialize)]
struct Claims<'a> {
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    tidings: Scope<'a>,
}

#[derive(Debug, Serialize)]
struct Scope<'a> {
    publish: Vec<&'a str>,
    subscribe: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    close: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delete: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    relay: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    metrics: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { publish, subscribe, close, delete, relay, metrics, .. } = arguments;
    if [publish, subscribe, close, delete].iter().all(|selectors| selectors.is_empty())
        && relay.is_empty()
        && !metrics
    {
        let what = "a token without any right is of no use: name what its bearer may do with `--publish SELECTOR`, \
             `--subscribe SELECTOR`, `--close SELECTOR`, `--delete SELECTOR`, `--relay NAME` or `--metrics`";
        return Err(WrongArguments::new(what).into());
    }
    if arguments.ttl.0 < Duration::from_secs(1) {
        let what = "a token that ends at once is of no use: give it a second or more with `--ttl DURATION`";
        return Err(WrongArguments::new(what).into());
    }
    let file = arguments.config.as_deref().map(Settings::from_file).transpose()?;
    let Hub { auth_hs256_secret_file, auth_audience, auth_issuer } = arguments.hub.clone();
    let auth = AuthSettings::for_tokens(auth_hs256_secret_file, auth_audience, auth_issuer)
        .or(file.unwrap_or_default().auth);
    let (mut header, key) = match &arguments.private_key_file {
        Some(path) => private_key(path)?,
        None => {
            let (place, secret) = auth.secret()?.ok_or_else(|| {
                WrongArguments::new(
                    "failed to sign: name the hub's secret with `--auth-hs256-secret-file`, or a private key with \
                     `--private-key-file`",
                )
            })?;
            // No hub would take it.
            if secret.len() < SECRET_BYTES {
                return Err(WrongArguments::new(format!(
                    "failed to take the key in {place}: the secret has {} bytes; HS256 takes at least {SECRET_BYTES} \
                     random ones (RFC 7518, section 3.2)",
                    secret.len()
                ))
                .into());
            }
            (Header::new(Algorithm::HS256), EncodingKey::from_secret(&secret))
        }
    };
    header.kid = arguments.key_id.clone();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let names = |selectors: &'_ [Selector]| selectors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (publish, subscribe) = (names(&arguments.publish), names(&arguments.subscribe));
    let (close, delete) = (names(&arguments.close), names(&arguments.delete));
    let claims = Claims {
        iat: now.as_secs(),
        exp: now.saturating_add(arguments.ttl.0).as_secs(),
        sub: arguments.subject.as_deref(),
        aud: auth.audience(),
        iss: auth.issuer(),
        tidings: Scope {
            publish: publish.iter().map(String::as_str).collect(),
            subscribe: subscribe.iter().map(String::as_str).collect(),
            close: close.iter().map(String::as_str).collect(),
            delete: delete.iter().map(String::as_str).collect(),
            relay,
            metrics: arguments.metrics,
        },
    };
    let token = jsonwebtoken::encode(&header, &claims, &key)
        .map_err(|error| format!("failed to sign with the key: {error}"))?;
    writeln!(std::io::stdout(), "{token}")?;
    Ok(())
}

fn private_key(path: &Path) -> Result<(Header, EncodingKey), WrongArguments> {
    let pem = std::fs::read(path)
        .map_err(|error| WrongArguments::new(format!("failed to read {}: {error}", path.display())))?;
    let kinds = [
        (Algorithm::RS256, EncodingKey::from_rsa_pem as fn(&[u8]) -> _),
        (Algorithm::ES256, EncodingKey::from_ec_pem),
        (Algorithm::EdDSA, EncodingKey::from_ed_pem),
    ];
    let found =
        kinds.into_iter().find_map(|(algorithm, read)| Some((Header::new(algorithm), read(&pem).ok()?)));
    found.ok_or_else(|| {
        let path = path.display();
        WrongArguments::new(format!(
            "failed to take the key in {path}: no private key of RSA, P-256 or Ed25519 in PEM (PKCS #8)"
        ))
    })
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    #[test]
    fn a_secret_is_taken_where_a_hub_takes_it() {
        assert_eq!(super::SECRET_BYTES, tidings_http::defaults::SECRET_BYTES);
    }
}
