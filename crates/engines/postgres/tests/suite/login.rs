use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tidings_engine::{Engine as _, EngineError, EngineLog};
use tidings_engine_servers::{Certificates, PostgresServer};
use tidings_postgres::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{client, config, url};

async fn refusal(url: &str) -> String {
    let engine = Postgres::new(url.parse().unwrap(), config()).unwrap();
    let opened = EngineLog::open(Arc::new(engine), config(), |error| panic!("{error}")).await;
    match opened {
        Err(EngineError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

async fn opens(url: &str) {
    let engine = Postgres::new(url.parse().unwrap(), config()).unwrap();
    drop(EngineLog::open(Arc::new(engine), config(), |error| panic!("{error}")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_a_password_and_its_own_schema_is_enough() {
    let Some(mut server) = PostgresServer::start() else { return };
    server.ask_for_passwords();
    let admin = client(&url(&server)).await;
    let setup = "CREATE ROLE hub LOGIN PASSWORD 'opensesame'; CREATE DATABASE events OWNER postgres";
    for statement in setup.split("; ") {
        admin.batch_execute(statement).await.unwrap();
    }
    let at = format!("127.0.0.1:{}/events", server.port());
    let wrong = refusal(&format!("postgres://hub:swordfish@{at}")).await;
    assert!(wrong.contains("password authentication failed") && !wrong.contains("swordfish"), "{wrong}");
    let none = refusal(&format!("postgres://hub@{at}")).await;
    assert!(none.contains("password missing"), "{none}");
    let may_not = refusal(&format!("postgres://hub:opensesame@{at}")).await;
    assert!(may_not.contains("permission denied for database events"), "{may_not}");
    assert!(!may_not.contains("opensesame"), "{may_not}");
    admin.batch_execute("GRANT CREATE ON DATABASE events TO hub").await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "opensesame\n").unwrap();
    opens(&format!("postgres://hub@{at}?password-file={}", file.path().display())).await;
    admin.batch_execute("REVOKE CREATE ON DATABASE events FROM hub").await.unwrap();
    opens(&format!("postgres://hub:opensesame@{at}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_the_server_is_checked() {
    let Some(mut server) = PostgresServer::start() else { return };
    let issuer = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (own, other) = (issuer("own"), issuer("other"));
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &own).unwrap();
    server.encrypt(&certificate.pem(), &key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        let file = folder.path().join(name);
        std::fs::write(&file, pem).unwrap();
        file.display().to_string()
    };
    let (own, other) = (file("own", own.pem()), file("other", other.pem()));
    let (port, at) = (server.port(), "postgres?sslmode=require");
    opens(&format!("postgres://postgres@localhost:{port}/{at}&tls-ca={own}")).await;
    let stranger = refusal(&format!("postgres://postgres@localhost:{port}/{at}&tls-ca={other}")).await;
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
    let misnamed = refusal(&format!("postgres://postgres@127.0.0.1:{port}/{at}&tls-ca={own}")).await;
    assert!(misnamed.contains("invalid peer certificate"), "{misnamed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_shows_a_certificate_where_one_is_asked_for() {
    let Some(mut server) = PostgresServer::start() else { return };
    let certificates = Certificates::new();
    let files = [certificates.authority(), certificates.certificate(), certificates.key()];
    let [authority, certificate, key] = files.each_ref().map(|file| std::fs::read_to_string(file).unwrap());
    server.encrypt(&certificate, &key);
    server.ask_for_certificates(&authority);
    let [authority, certificate, key] = files.each_ref().map(|file| file.display());
    let url = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode=require&tls-ca={authority}",
        server.port()
    );
    opens(&format!("{url}&tls-cert={certificate}&tls-key={key}")).await;
    let none = refusal(&url).await;
    assert!(none.contains("certificate"), "{none}");
}

/// As one does that is just ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_in_the_middle_of_a_handshake_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let certificates = Certificates::new();
    let url = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode=require&tls-ca={}",
        listener.local_addr().unwrap().port(),
        certificates.authority().display()
    );
    let accepts = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        // The client asks for TLS with eight bytes, and this is consent.
        socket.read_exact(&mut [0; 8]).await.unwrap();
        socket.write_all(b"S").await.unwrap();
        socket.read_exact(&mut [0; 8]).await.unwrap();
    };
    let engine = Postgres::new(url.parse().unwrap(), config()).unwrap();
    let (attached, ()) = tokio::join!(engine.attach(None), accepts);
    let error = attached.map(drop).unwrap_err();
    assert!(matches!(error, EngineError::Away { .. }), "{error:?}");
}
