use tidings_engine::EngineError;
use tidings_engine_servers::{Certificates, RedisServer};

use crate::support::{open, publish, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_a_password() {
    let Some(server) = RedisServer::start_with(&["--requirepass", "p@ss"]) else { return };
    let port = server.port();
    publish(&*open(&format!("redis://:p%40ss@127.0.0.1:{port}/log")).await, "a", "x").await;
    let file = server.folder().join("password");
    std::fs::write(&file, "p@ss\n").unwrap();
    let url = format!("redis://127.0.0.1:{port}/log?password-file={}", file.display());
    publish(&*open(&url).await, "a", "x").await;
    for login in [":wrongpw@", ""] {
        let refused = refusal(&format!("redis://{login}127.0.0.1:{port}/log")).await;
        let EngineError::Refused { reason } = refused else { panic!("{refused:?}") };
        assert!(!reason.contains("wrongpw"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_needs_no_more_rights_than_this() {
    let user = "me on >secret ~{log}:* +@read +@write +@connection +@scripting +@transaction +time +wait -@dangerous +role";
    let words: Vec<_> = ["--user"].into_iter().chain(user.split(' ')).collect();
    let Some(server) = RedisServer::start_with(&words) else { return };
    publish(&*open(&format!("redis://me:secret@127.0.0.1:{}/log", server.port())).await, "a", "x").await;
    let other = refusal(&format!("redis://me:secret@127.0.0.1:{}/other", server.port())).await;
    assert!(matches!(other, EngineError::Refused { .. }), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_whoever_the_authority_vouches_for() {
    let Some((server, certificates)) = RedisServer::start_with_tls() else { return };
    let authority = certificates.authority();
    let url = format!("rediss://localhost:{}/log?tls-ca={}", server.port(), authority.display());
    publish(&*open(&url).await, "a", "x").await;
    let others = Certificates::new();
    let url = format!("rediss://localhost:{}/log?tls-ca={}", server.port(), others.authority().display());
    let refused = refusal(&url).await.to_string();
    assert!(refused.contains("certificate") || refused.contains("UnknownIssuer"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_shows_a_certificate_where_one_is_asked_for() {
    let Some((server, certificates)) = RedisServer::start_with_client_certificates() else { return };
    let [authority, certificate, key] =
        [certificates.authority(), certificates.certificate(), certificates.key()]
            .map(|file| file.display().to_string());
    let url = format!("rediss://localhost:{}/log?tls-ca={authority}", server.port());
    publish(&*open(&format!("{url}&tls-cert={certificate}&tls-key={key}")).await, "a", "x").await;
    let refused = refusal(&url).await.to_string();
    assert!(refused.contains("ertificate"), "{refused}");
}
