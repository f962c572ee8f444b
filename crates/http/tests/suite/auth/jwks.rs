//! Keys that are published elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use tidings_http::{Auth, AuthConfig, JwksTimes, Key};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::keys::refusal;
use crate::support::tokens::{bearer, claims, sign_as};
use crate::support::{Request, Running, Setup, eventually};

/// Whoever publishes the keys.
struct Issuer {
    url: String,
    asked: Arc<AtomicU64>,
    set: watch::Sender<Value>,
    /// Answers are given as long as this is open.
    gate: Arc<Semaphore>,
    serving: JoinHandle<()>,
}

struct Signer {
    name: &'static str,
    pair: KeyPair,
}

impl Issuer {
    async fn publish(set: Value) -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let (set, sets) = watch::channel(set);
        let gate = Arc::new(Semaphore::new(1));
        let (counter, open) = (Arc::clone(&asked), Arc::clone(&gate));
        let answer = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let (sets, open) = (sets.clone(), Arc::clone(&open));
            async move {
                drop(open.acquire().await);
                sets.borrow().to_string()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let app = Router::new().route("/jwks.json", get(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, set, gate, serving }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Signer {
    fn new(name: &'static str) -> Self {
        Self { name, pair: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap() }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.der_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.name, "use": "sig"})
    }

    fn token(&self) -> String {
        let header = Header { kid: Some(self.name.into()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        sign_as(&header, &claims(&[], &["**"]), &key)
    }
}

async fn hub(url: &str) -> Running {
    hub_with(AuthConfig { jwks_url: Some(url.into()), ..AuthConfig::default() }).await
}

async fn hub_with(config: AuthConfig) -> Running {
    let setup = Setup::new();
    let hub = setup.hub();
    setup.start_with(hub, Auth::new(config).unwrap()).await
}

/// Asks again at once.
fn impatient(url: &str) -> AuthConfig {
    let times = JwksTimes { refresh: Duration::ZERO, pause: Duration::ZERO, retry: Duration::ZERO };
    AuthConfig { jwks_url: Some(url.into()), jwks_times: times, ..AuthConfig::default() }
}

#[tokio::test]
async fn a_key_is_fetched_when_it_is_first_named_and_kept() {
    let signer = Signer::new("one");
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "two", "alg": "HS256"});
    let odd = json!({"kty": "lattice", "kid": "three"});
    let issuer = Issuer::publish(json!({"keys": [symmetric, odd, signer.jwk()]})).await;
    let hub = hub(&issuer.url).await;
    assert_eq!(refusal(&hub, &signer.token()).await, None);
    assert_eq!(refusal(&hub, &signer.token()).await, None);
    assert_eq!(issuer.asked(), 1);
    // A secret that is published is none.
    let header = Header { kid: Some("two".into()), ..Header::new(Algorithm::HS256) };
    let forged = sign_as(&header, &claims(&[], &["**"]), &EncodingKey::from_secret(b"secret"));
    assert!(refusal(&hub, &forged).await.is_some());
    // Whoever invents names does not make the hub ask again and again.
    for name in ["four", "five", "six"] {
        assert!(refusal(&hub, &Signer::new(name).token()).await.is_some());
    }
    assert_eq!(issuer.asked(), 1);
    // The issuer goes away, and what was fetched stays.
    issuer.serving.abort();
    assert_eq!(refusal(&hub, &signer.token()).await, None);
}

/// RFC 7517, section 5: what cannot be understood is passed over.
#[tokio::test]
async fn an_odd_entry_costs_no_other_its_place() {
    let signer = Signer::new("one");
    let with = |name: &str, value: Value| {
        let mut entry = Signer::new("odd").jwk();
        entry[name] = value;
        entry
    };
    let entries = [
        with("kty", json!("lattice")),
        with("kty", json!(7)),
        with("kty", Value::Null),
        with("crv", json!("Ed1")),
        with("x", json!(["AA"])),
        with("x", json!("not base64!")),
        with("use", json!(7)),
        with("use", json!("other")),
        with("key_ops", json!("verify")),
        with("alg", json!("XX1")),
        with("alg", json!({})),
        with("kid", json!(7)),
        with("x5c", json!("text")),
        with("x5t", json!(1)),
        json!({}),
        json!([]),
        json!(["sig", null, "EdDSA", "odd"]),
        json!("text"),
        json!(1),
        Value::Null,
    ];
    for entry in entries {
        for keys in [json!([entry, signer.jwk()]), json!([signer.jwk(), entry])] {
            let issuer = Issuer::publish(json!({"keys": keys, "more": 1})).await;
            let hub = hub(&issuer.url).await;
            assert_eq!(refusal(&hub, &signer.token()).await, None, "{entry}");
        }
    }
}

#[tokio::test]
async fn many_who_come_at_once_share_one_fetch() {
    let signer = Signer::new("one");
    let issuer = Issuer::publish(json!({"keys": [signer.jwk()]})).await;
    let hub = hub(&issuer.url).await;
    let token = signer.token();
    let asked = (0..20).map(|_| refusal(&hub, &token));
    assert!(futures_util::future::join_all(asked).await.iter().all(Option::is_none));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn while_there_are_no_keys_nobody_is_told_that_a_token_is_bad() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    drop(listener);
    let hub = hub(&gone).await;
    let request = Request::get("/topics/a").header("authorization", &bearer(&Signer::new("one").token()));
    let answer = hub.ask(request).await;
    answer.problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    hub.get("/topics/a").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_set_of_no_use_counts_as_none() {
    let signer = Signer::new("one");
    for set in [json!({"keys": []}), json!([]), json!("x"), json!({"keys": [{"kty": "RSA"}]})] {
        let issuer = Issuer::publish(set.clone()).await;
        let hub = hub(&issuer.url).await;
        let request = Request::get("/topics/a").header("authorization", &bearer(&signer.token()));
        hub.ask(request).await.problem(503, "unavailable");
    }
    assert!(Auth::new(AuthConfig { jwks_url: Some("file:///x".into()), ..AuthConfig::default() }).is_err());
    for url in ["http://login.example/jwks", "http://10.0.0.1/jwks", "https://"] {
        let config = AuthConfig { jwks_url: Some(url.into()), ..AuthConfig::default() };
        assert!(Auth::new(config).is_err(), "{url}");
    }
    assert!(Auth::new(AuthConfig { jwks_url: Some("nonsense".into()), ..AuthConfig::default() }).is_err());
}

#[tokio::test]
async fn a_new_key_is_fetched_and_a_withdrawn_one_goes() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::publish(json!({"keys": [old.jwk()]})).await;
    let hub = hub_with(impatient(&issuer.url)).await;
    assert_eq!(refusal(&hub, &old.token()).await, None);
    issuer.set.send_replace(json!({"keys": [new.jwk()]}));
    assert_eq!(refusal(&hub, &new.token()).await, None);
    assert!(refusal(&hub, &old.token()).await.is_some());
    // It is away while it would be asked again.
    issuer.serving.abort();
    assert!(issuer.serving.await.is_err());
    assert!(refusal(&hub, &old.token()).await.is_some());
    assert_eq!(refusal(&hub, &new.token()).await, None);
}

/// Whoever asks and leaves takes the fetch from nobody.
#[tokio::test]
async fn a_fetch_does_not_end_with_whoever_began_it() {
    let signer = Signer::new("one");
    let issuer = Issuer::publish(json!({"keys": [signer.jwk()]})).await;
    let closed = issuer.gate.acquire().await.unwrap();
    let hub = hub(&issuer.url).await;
    let mut first = hub.connect().await;
    let request = Request::get("/topics/a").header("authorization", &bearer(&Signer::new("x").token()));
    first.send(request.bytes()).await;
    eventually("the issuer is asked", async || issuer.asked() == 1).await;
    drop(first);
    let token = signer.token();
    let second = refusal(&hub, &token);
    let opened = async {
        tokio::task::yield_now().await;
        drop(closed);
    };
    assert_eq!(tokio::join!(second, opened).0, None);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn keys_of_its_own_and_published_ones_both_count() {
    let (own, published) = (Signer::new("own"), Signer::new("published"));
    let issuer = Issuer::publish(json!({"keys": [published.jwk()]})).await;
    let keys = Key::from_pem(&own.pair.public_key_pem()).unwrap();
    let hub = hub_with(AuthConfig { keys, ..impatient(&issuer.url) }).await;
    assert_eq!(refusal(&hub, &own.token()).await, None);
    assert_eq!(refusal(&hub, &published.token()).await, None);
    assert!(refusal(&hub, &Signer::new("other").token()).await.is_some());
}
