use tidings_engine::EngineError;
use tidings_engine_servers::NatsServer;

use crate::support::{open, publish, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_a_password() {
    let Some(server) = NatsServer::start_with("authorization { user: me, password: \"p@ss\", timeout: 60 }")
    else {
        return;
    };
    let port = server.port();
    publish(&*open(&format!("nats://me:p%40ss@127.0.0.1:{port}/LOG")).await, "a", "x").await;
    let file = server.folder().join("password");
    std::fs::write(&file, "p@ss\n").unwrap();
    let url = format!("nats://me@127.0.0.1:{port}/LOG?password-file={}", file.display());
    publish(&*open(&url).await, "a", "x").await;
    for login in ["me:wrongpw@", ""] {
        let refused = refusal(&format!("nats://{login}127.0.0.1:{port}/LOG")).await;
        let EngineError::Refused { reason } = refused else { panic!("{refused:?}") };
        assert!(reason.contains("authorization violation") && !reason.contains("wrongpw"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_enough() {
    let Some(server) = NatsServer::start_with("authorization { token: s3cret, timeout: 60 }") else { return };
    publish(&*open(&format!("nats://s3cret@127.0.0.1:{}/LOG", server.port())).await, "a", "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_whoever_the_authority_vouches_for() {
    let Some((server, certificates)) = NatsServer::start_with_tls() else { return };
    let authority = certificates.authority();
    let url = format!("tls://localhost:{}/LOG?tls-ca={}", server.port(), authority.display());
    publish(&*open(&url).await, "a", "x").await;
    let others = tidings_engine_servers::Certificates::new();
    let url = format!("tls://localhost:{}/LOG?tls-ca={}", server.port(), others.authority().display());
    let EngineError::Away { reason } = refusal(&url).await else { panic!("it is not refused for good") };
    assert!(reason.contains("certificate"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_shows_a_certificate_where_one_is_asked_for() {
    let Some((server, certificates)) = NatsServer::start_with_client_certificates() else { return };
    let [authority, certificate, key] =
        [certificates.authority(), certificates.certificate(), certificates.key()]
            .map(|file| file.display().to_string());
    let url = format!("tls://localhost:{}/LOG?tls-ca={authority}", server.port());
    publish(&*open(&format!("{url}&tls-cert={certificate}&tls-key={key}")).await, "a", "x").await;
    let EngineError::Away { reason } = refusal(&url).await else { panic!("it is not refused for good") };
    println!("{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_is_waited_for() {
    let accounts = "authorization { timeout: 60 }\naccounts { A { users: [{ user: a, password: a }] } }";
    let Some(server) = NatsServer::start_with(accounts) else { return };
    let refused = refusal(&format!("nats://a:a@127.0.0.1:{}/LOG", server.port())).await;
    assert!(refused.to_string().contains("JetStream"), "{refused}");
}
