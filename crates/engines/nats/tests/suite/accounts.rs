//! Accounts as `nsc` makes them: an operator that vouches for accounts, and one of these for its users.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use tidings_engine::EngineError;
use tidings_engine_servers::NatsServer;

use crate::support::{open, publish, refusal};

/// What `issuer` says of `subject`.
fn token(issuer: &KeyPair, subject: &KeyPair, claims: &str) -> String {
    let head = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    let (issuer_key, subject) = (issuer.public_key(), subject.public_key());
    let body =
        format!(r#"{{"jti":"x","iat":1,"iss":"{issuer_key}","name":"x","sub":"{subject}","nats":{claims}}}"#);
    let signed = [head, &body].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

const LIMITS: &str =
    r#""subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1"#;

fn account(operator: &KeyPair, own: &KeyPair, streams: i32) -> String {
    let claims = format!(
        r#"{{"type":"account","version":2,"limits":{{{LIMITS},"mem_storage":{streams},"disk_storage":{streams},"streams":{streams},"consumer":{streams}}}}}"#
    );
    token(operator, own, &claims)
}

fn credentials(account: &KeyPair, user: &KeyPair) -> String {
    let token = token(account, user, r#"{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1}"#);
    let seed = user.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_is_enough() {
    let operator = KeyPair::new_operator();
    let [system, hubs] = [KeyPair::new_account(), KeyPair::new_account()];
    let (system_key, hubs_key) = (system.public_key(), hubs.public_key());
    let own = token(
        &operator,
        &operator,
        &format!(r#"{{"type":"operator","version":2,"system_account":"{system_key}"}}"#),
    );
    let (system, accounts) = (account(&operator, &system, 0), account(&operator, &hubs, -1));
    let Some(server) = NatsServer::start_with(&format!(
        "authorization {{ timeout: 60 }}\noperator: {own}\nresolver: MEMORY\nresolver_preload: {{ {system_key}: {system}, {hubs_key}: {accounts} }}"
    )) else {
        return;
    };
    let file = server.folder().join("hub.creds");
    std::fs::write(&file, credentials(&hubs, &KeyPair::new_user())).unwrap();
    let url = format!("nats://127.0.0.1:{}/LOG", server.port());
    publish(&*open(&format!("{url}?creds={}", file.display())).await, "a", "x").await;
    let others = KeyPair::new_account();
    std::fs::write(&file, credentials(&others, &KeyPair::new_user())).unwrap();
    for options in [String::new(), format!("?creds={}", file.display()), "?creds=/none".into()] {
        let refused = refusal(&format!("{url}{options}")).await;
        assert!(matches!(refused, EngineError::Refused { .. }), "{refused:?}");
    }
}
