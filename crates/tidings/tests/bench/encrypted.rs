//! Over TLS and HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Hub, assert_complete, bench};

/// A certificate for the names, in files, and its key.
fn certificate(names: &[&str]) -> (TempDir, rcgen::CertifiedKey<rcgen::KeyPair>) {
    let room = tempfile::tempdir().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(room.path().join("hub.pem"), own.cert.pem()).unwrap();
    std::fs::write(room.path().join("hub.key"), own.signing_key.serialize_pem()).unwrap();
    (room, own)
}

impl Hub {
    /// A hub with a certificate for `localhost` and its address, and what it is called there.
    fn over_tls(flags: &[&str]) -> Self {
        let (room, _) = certificate(&["localhost", "127.0.0.1"]);
        let tls = ["--tls-certificate", "hub.pem", "--tls-key", "hub.key"];
        let mut hub = Self::with(room, &[&tls, flags].concat());
        hub.url = format!("https://127.0.0.1:{}", hub.port());
        hub
    }

    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }
}

/// The ways of speaking, and what a report calls them.
const WAYS: [(&[&str], bool, &str); 5] = [
    (&[], true, "http/1.1"),
    (&["--http2"], true, "h2"),
    (&["--http2", "--streams-per-connection", "10"], true, "h2"),
    (&["--http2"], false, "h2"),
    (&["--http2", "--streams-per-connection", "7"], false, "h2"),
];

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it says about a run that came to nothing.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_transport_is_complete_in_every_way_of_speaking() {
    let hub = Hub::over_tls(&[]);
    let clear = format!("http://127.0.0.1:{}", hub.port());
    for (way, is_tls, http) in WAYS {
        for transport in ["sse", "long-poll", "poll", "websocket"] {
            let url = if is_tls { &hub.url } else { &clear };
            let pid = hub.process.id().to_string();
            let own = ["--url", url, "--ca-file", "hub.pem", "--pid", &pid, "--transport", transport];
            let load = ["--interval", "100ms", "--subscribers", "30", "--topics", "3", "--publishers", "2"];
            let span = ["--events", "60", "--rate", "200", "--duration", "60s", "--client", "chromium"];
            let report = report(&bench(hub.room.path(), &[&own, way, &load, &span].concat()));
            assert_eq!(report["publish"]["events"], 60);
            assert_complete(&report, 60 * 10);
            assert_eq!(report["http"], http, "{report}");
            assert_eq!(report["tls"].is_string(), is_tls, "{report}");
            let memory = &report["resources"]["memory"];
            assert!(memory["each_subscriber"].is_number() && memory["each_subscriber_served"].is_number());
        }
    }
}

/// Nothing is lost or repeated for those who come and go.
#[test]
fn those_who_come_and_go_read_on() {
    let hub = Hub::over_tls(&[]);
    for way in [&[][..], &["--http2"], &["--http2", "--streams-per-connection", "6"]] {
        for transport in ["sse", "long-poll"] {
            let own =
                ["--ca-file", "hub.pem", "--transport", transport, "--stay", "100ms", "--subscribers", "12"];
            let load = ["--events", "100", "--rate", "100", "--duration", "60s"];
            let report = report(&hub.bench(&[&own[..], way, &load].concat()));
            assert_complete(&report, 12 * 100);
            assert!(report["delivery"]["returns"].as_u64().unwrap() > 0, "{report}");
        }
    }
}

#[test]
fn batches_larger_than_a_window_go_out_over_several_threads() {
    let hub = Hub::over_tls(&[]);
    let flags = ["--ca-file", "hub.pem", "--http2", "--streams-per-connection", "5", "--subscribers", "20"];
    let load = ["--threads", "2", "--events", "200", "--batch", "100", "--size", "2000"];
    let report = report(&hub.bench(&[&flags[..], &load].concat()));
    assert_eq!(report["publish"]["requests"], 2);
    assert_complete(&report, 20 * 200);
}

#[test]
fn those_who_return_over_shared_connections_catch_up() {
    let hub = Hub::over_tls(&[]);
    let flags = ["--ca-file", "hub.pem", "--http2", "--streams-per-connection", "8", "--subscribers", "40"];
    let report = report(&hub.bench(&[&flags[..], &["--return", "250", "--topics", "2"]].concat()));
    assert_complete(&report, 40 * 250);
}

#[test]
fn a_certificate_that_is_not_trusted_ends_it() {
    let hub = Hub::over_tls(&[]);
    let load = ["--subscribers", "3", "--duration", "1s"];
    let said = complaint(&hub.bench(&load));
    assert!(said.contains("the hub's certificate is not trusted") && said.contains("CA file"), "{said}");
    let (room, _) = certificate(&["elsewhere.example"]);
    let hub = Hub::with(room, &["--tls-certificate", "hub.pem", "--tls-key", "hub.key"]);
    let url = format!("https://127.0.0.1:{}", hub.port());
    // A certificate that is named itself is trusted for what it is, whatever names it has; one of another is not.
    let (other, _) = certificate(&["127.0.0.1"]);
    let said =
        complaint(&bench(other.path(), &[&["--url", &url, "--ca-file", "hub.pem"][..], &load].concat()));
    assert!(said.contains("the hub's certificate is not trusted"), "{said}");
    let missing = bench(other.path(), &["--url", &url, "--ca-file", "none.pem"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("--ca-file: "), "{missing:?}");
}

#[test]
fn a_server_without_tls_is_told_from_one_with_it() {
    let hub = Hub::start();
    let url = hub.url.replace("http://", "https://");
    let said = complaint(&bench(hub.room.path(), &["--url", &url, "--subscribers", "3"]));
    assert!(said.contains("before TLS was agreed on") && said.contains("http://"), "{said}");
}

#[test]
fn a_refused_token_is_said_to_be_one() {
    let (room, _) = certificate(&["127.0.0.1"]);
    std::fs::write(room.path().join("secret"), "0123456789abcdef0123456789abcdef").unwrap();
    let tls = ["--tls-certificate", "hub.pem", "--tls-key", "hub.key"];
    let hub = Hub::with(room, &[&tls[..], &["--auth-hs256-secret-file", "secret"]].concat());
    let url = format!("https://127.0.0.1:{}", hub.port());
    for way in [&[][..], &["--http2"]] {
        let flags = ["--url", &url, "--ca-file", "hub.pem", "--subscribers", "3", "--token", "nonsense"];
        let said = complaint(&bench(hub.room.path(), &[&flags[..], way].concat()));
        assert!(said.contains("the server answered a subscriber with status 401"), "{said}");
    }
}

/// Answers each connection with what `answer` does with it.
fn server(answer: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
    port
}

#[test]
fn a_server_without_http2_is_said_to_have_none() {
    let (room, own) = certificate(&["127.0.0.1"]);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let mut refusing = config.clone();
    refusing.alpn_protocols = vec![b"http/1.1".to_vec()];
    let load = ["--http2", "--subscribers", "2", "--ca-file", "hub.pem"];
    // One chooses nothing, the other has something else to choose from.
    for config in [config, refusing] {
        let config = Arc::new(config);
        let port = server(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            // Until the client has left.
            drop(stream.read(&mut [0; 1_024]));
            drop(stream.read(&mut [0; 1_024]));
        });
        let url = format!("https://127.0.0.1:{port}");
        let said = complaint(&bench(room.path(), &[&["--url", &url][..], &load].concat()));
        assert!(said.contains("does not speak HTTP/2 here"), "{said}");
    }
    let port = server(|mut stream| {
        drop(stream.read(&mut [0; 1_024]));
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        drop(stream.read(&mut [0; 1_024]));
    });
    let said = complaint(&bench(
        room.path(),
        &[&["--url", &format!("http://127.0.0.1:{port}")][..], &load].concat(),
    ));
    assert!(said.contains("does not speak HTTP/2 here"), "{said}");
}

#[test]
fn streams_share_a_connection_only_over_http2() {
    let hub = Hub::start();
    let output = hub.bench(&["--streams-per-connection", "5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--http2"));
}
