//! TLS, and both versions of HTTP over it.

use std::time::Duration;

use tidings_http::{Cleartext, Tls};
use tidings_protocol::Page;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Authority, Pair, Request, Running, Setup, Stream, Wire, eventually, within};

async fn start(pair: &Pair) -> (Running, Tls) {
    let (mut setup, tls) = (Setup::new(), pair.open());
    setup.tls = Some((tls.clone(), Cleartext::Loopback));
    (setup.start().await, tls)
}

#[tokio::test]
async fn http_1_is_spoken_over_tls() {
    let authority = Authority::new();
    let (hub, _) = start(&authority.issue("hub", 1)).await;
    let mut wire = authority.http1(hub.address).await;
    let id = wire.ask(&Request::post("/topics/a", "one")).await.id();
    let page = wire.ask(&Request::get("/topics/a")).await.page();
    assert_eq!((page.events.len(), &page.next), (1, &id));
    let mut held = authority.http1(hub.address).await;
    held.send(Request::get(&format!("/topics/a?wait=60&since={id}")).bytes()).await;
    let mut reader = authority.http1(hub.address).await;
    reader.send(Request::stream("/topics/a").bytes()).await;
    let mut stream = Stream::new(reader).await;
    assert!(stream.block().await.retry.is_some());
    hub.waiting("a", 2).await;
    wire.ask(&Request::post("/topics/a", "two")).await.id();
    assert_eq!(stream.event().await.data.unwrap(), "two");
    assert_eq!(held.answer(false).await.page().events.len(), 1);
    // The connection goes on.
    assert_eq!(held.ask(&Request::get("/healthz")).await.text(), "ok\n");
    drop((stream, held));
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn one_http_2_connection_carries_more_than_a_hundred_streams() {
    let authority = Authority::new();
    let (hub, _) = start(&authority.issue("hub", 1)).await;
    let mut h2 = authority.http2(hub.address).await;
    let mut streams = Vec::new();
    for number in 0..150 {
        streams.push(h2.stream(&format!("/topics/t/{}", number % 3)).await);
    }
    hub.readers("sse", 150).await;
    for event in 0..10 {
        for topic in 0..3 {
            let (status, _) = h2.ask("POST", &format!("/topics/t/{topic}"), &[], event.to_string()).await;
            assert_eq!(status, 201);
        }
    }
    for stream in &mut streams {
        for event in 0..10 {
            assert_eq!(stream.event().await.data.unwrap(), event.to_string());
        }
    }
    // This one, and the one that asks in clear.
    assert_eq!(hub.metric("tidings_connections").await, 2);
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let authority = Authority::new();
    let (pair, next) = (authority.issue("hub", 1), authority.issue("next", 2));
    let (hub, tls) = start(&pair).await;
    let mut old = authority.http2(hub.address).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(old.stream("/topics/a").await);
    }
    let mut parked = authority.http1(hub.address).await;
    parked.send(Request::stream("/topics/a").bytes()).await;
    let mut parked = Stream::new(parked).await;
    assert!(parked.block().await.retry.is_some());
    hub.waiting("a", 21).await;
    assert_eq!(authority.number(hub.address).await, 1);

    pair.become_like(&next);
    tls.reload().unwrap();
    assert_eq!(authority.number(hub.address).await, 2);
    hub.publish("a", "x").await;
    for stream in &mut streams {
        assert_eq!(stream.event().await.data.unwrap(), "x");
    }
    assert_eq!(parked.event().await.data.unwrap(), "x");
    assert_eq!(old.ask("GET", "/healthz", &[], "").await.0, 200);
}

#[tokio::test]
async fn a_certificate_that_changes_is_noticed_however_it_changes() {
    let authority = Authority::new();
    let pair = authority.issue("hub", 1);
    // As Kubernetes has it: the files are links into a folder, which is a link itself, and is replaced.
    let (folder, link) = (authority.folder(), authority.folder().join("data"));
    let put = |number: u64| {
        let fresh = authority.issue("fresh", number);
        let place = folder.join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        std::fs::rename(fresh.certificate, place.join("tls.crt")).unwrap();
        std::fs::rename(fresh.key, place.join("tls.key")).unwrap();
        std::os::unix::fs::symlink(&place, folder.join("data.new")).unwrap();
        std::fs::rename(folder.join("data.new"), &link).unwrap();
    };
    put(1);
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(link.join(name), folder.join(name)).unwrap();
    }
    let linked = Pair { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
    let (hub, _) = start(&linked).await;
    assert_eq!(authority.number(hub.address).await, 1);
    put(2);
    eventually("the link is followed", async || authority.number(hub.address).await == 2).await;

    // As certbot has it: one file is renamed into its place, and a moment later the other.
    let (hub, tls) = start(&pair).await;
    let next = authority.issue("next", 3);
    std::fs::rename(&next.certificate, &pair.certificate).unwrap();
    let error = tls.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("does not belong"), "{error}");
    assert!(!tls.reload_if_changed().unwrap(), "it is complained of once");
    assert_eq!(authority.number(hub.address).await, 1);
    std::fs::rename(&next.key, &pair.key).unwrap();
    eventually("both are taken", async || authority.number(hub.address).await == 3).await;
}

#[tokio::test]
async fn a_certificate_that_is_of_no_use_changes_nothing() {
    let authority = Authority::new();
    let (pair, other) = (authority.issue("hub", 1), authority.issue("other", 2));
    let (hub, tls) = start(&pair).await;
    let (certificate, key) = (std::fs::read(&pair.certificate).unwrap(), std::fs::read(&pair.key).unwrap());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let cases: [(&std::path::Path, &[u8], &str); 7] = [
        (&pair.key, &std::fs::read(&other.key).unwrap(), "does not belong to the certificate"),
        (&pair.key, b"", "there is no `-----BEGIN PRIVATE KEY-----`"),
        (&pair.key, encrypted.as_bytes(), "the key is encrypted"),
        (&pair.certificate, b"not a certificate", "there is no `-----BEGIN CERTIFICATE-----`"),
        (&pair.certificate, &certificate[..certificate.len() / 2], "its PEM is damaged"),
        (&pair.certificate, nonsense.as_bytes(), "its first certificate is none"),
        (&pair.certificate, &key, "there is no `-----BEGIN CERTIFICATE-----`"),
    ];
    for (file, contents, expected) in cases {
        std::fs::write(file, contents).unwrap();
        for error in [tls.reload().unwrap_err(), Tls::open(&pair.certificate, &pair.key).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(expected) && error.contains(&*file.to_string_lossy()), "{error}");
        }
        assert_eq!(authority.number(hub.address).await, 1);
        std::fs::write(&pair.certificate, &certificate).unwrap();
        std::fs::write(&pair.key, &key).unwrap();
        tls.reload().unwrap();
    }
    std::fs::remove_file(&pair.key).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("hub.key") && error.contains("No such file"), "{error}");
    assert_eq!(authority.number(hub.address).await, 1);
}

#[tokio::test]
async fn what_is_not_tls_after_all_is_closed() {
    let authority = Authority::new();
    let (hub, _) = start(&authority.issue("hub", 1)).await;
    let garbage: [&[u8]; 4] = [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x16\x16\x16\x16\x16",
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
    ];
    for bytes in garbage {
        let mut wire = hub.connect().await;
        wire.send(bytes).await;
        wire.finish_sending().await;
        let answer = wire.rest().await;
        // Nothing, or an alert.
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    }
    eventually("they are counted", async || {
        hub.metric("tidings_failed_handshakes_total").await == garbage.len() as u64
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_holds_up_nobody_and_is_cut_off() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    setup.http.handshake_timeout = Duration::from_secs(2);
    let hub = setup.start().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut wire = hub.connect().await;
        wire.send(b"\x16").await;
        silent.push(wire);
    }
    let mut wire = authority.http1(hub.address).await;
    assert_eq!(wire.ask(&Request::get("/healthz")).await.status(), 200);
    for mut wire in silent {
        assert_eq!(wire.rest().await, b"");
    }
    let name = "tidings_limits_reached_total{limit=\"handshake-timeout\"}";
    assert_eq!(hub.metric(name).await, 200);
}

#[tokio::test]
async fn who_speaks_in_clear_is_told_not_to_or_served() {
    let authority = Authority::new();
    for (cleartext, status) in
        [(Cleartext::Everyone, 201), (Cleartext::Loopback, 201), (Cleartext::Nobody, 421)]
    {
        let mut setup = Setup::new();
        setup.tls = Some((authority.issue("hub", 1).open(), cleartext));
        let hub = setup.start().await;
        let answer = hub.ask(Request::post("/topics/a", "x")).await;
        assert_eq!(answer.status(), status);
        if status == 421 {
            assert!(answer.problem(421, "misdirected").contains("https://"));
        }
        let mut h2 = crate::support::H2::connect(hub.address).await;
        assert_eq!(h2.ask("POST", "/topics/a", &[], "x").await.0, status);
        let mut wire = authority.http1(hub.address).await;
        wire.ask(&Request::post("/topics/a", "x")).await.id();
    }
}

#[tokio::test]
async fn without_a_certificate_nobody_is_kept_waiting_for_tls() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send(b"\x16\x03\x01\x02\x00\x01").await;
    assert_eq!(wire.rest().await, b"");
}

#[tokio::test]
async fn shutting_down_ends_what_is_encrypted_properly() {
    let authority = Authority::new();
    let (mut hub, _) = start(&authority.issue("hub", 1)).await;
    let mut h2 = authority.http2(hub.address).await;
    let mut stream = h2.stream("/topics/a").await;
    let mut wire = authority.http1(hub.address).await;
    wire.send(Request::stream("/topics/a").bytes()).await;
    let mut over_1 = Stream::new(wire).await;
    over_1.block().await;
    let mut held = authority.http1(hub.address).await;
    held.send(Request::get("/topics/a?wait=60").bytes()).await;
    hub.waiting("a", 3).await;
    hub.shut_down();
    assert!(stream.block().await.unwrap().retry.unwrap() <= 5_000);
    assert_eq!(stream.block().await, None);
    let farewell = over_1.end().await;
    assert!(farewell.starts_with("retry: "), "{farewell}");
    let page: Page = held.answer(false).await.page();
    assert!(page.events.is_empty());
    // The end of the connection is said before it comes, so that nobody can feign it.
    assert_eq!(held.rest().await, b"");
    drop(within(h2.connection).await.unwrap());
    hub.ended().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_over_tls_is_closed_after_the_write_timeout() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    setup.http.write_timeout = Duration::from_millis(500);
    let hub = setup.start().await;
    for _ in 0..12 {
        hub.publish("a", &"x".repeat(1 << 20)).await;
    }
    let mut stream = authority.connect(hub.address, "http/1.1").await;
    stream.write_all(&Request::stream("/topics/a?since=earliest").bytes()).await.unwrap();
    let wire = Wire::over(stream);
    eventually("it is closed", async || hub.metric("tidings_slow_closes_total").await == 1).await;
    hub.readers("sse", 0).await;
    drop(wire);
}

/// As some editors write a file.
#[tokio::test]
async fn a_mark_before_a_certificate_and_its_key_is_no_part_of_them() {
    let authority = Authority::new();
    let pair = authority.issue("hub", 7);
    for path in [&pair.certificate, &pair.key] {
        let text = std::fs::read_to_string(path).unwrap().replace('\n', "\r\n");
        std::fs::write(path, format!("\u{feff}{text}")).unwrap();
    }
    let (hub, _) = start(&pair).await;
    assert_eq!(authority.number(hub.address).await, 7);
    let wide = std::fs::read_to_string(&pair.key).unwrap();
    let wide: Vec<u8> = wide.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&pair.key, wide).unwrap();
    let error = Tls::open(&pair.certificate, &pair.key).unwrap_err().to_string();
    assert!(error.contains("UTF-16") && error.contains("hub.key"), "{error}");
}
