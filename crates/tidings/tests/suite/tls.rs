//! TLS, as OpenSSL and curl see it.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::curl::Curl;
use crate::support::hub::{command, room};
use crate::support::{Authority, Hub, tools, within};

/// What `openssl s_client` says of a hub, and what it gets for what it sends.
async fn openssl(hub: &Hub, arguments: &[&str], input: &str) -> Option<(String, String)> {
    let mut command = Command::new(tools::program(&["openssl"])?);
    command.args(["s_client", "-connect", &hub.address().to_string(), "-servername", "localhost"]);
    command.args(["-CAfile", "authority.pem", "-verify_return_error"]);
    command.args(arguments).current_dir(hub.room()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = within("openssl to end", child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    // Some versions write `CN = name`.
    Some((text(&output.stderr).replace(" = ", "="), text(&output.stdout)))
}

const REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn openssl_agrees_on_what_is_secure_and_nothing_else() {
    let authority = Authority::new();
    let hub = Hub::over_tls(&authority, &[]).await;
    authority.file(hub.room());
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let Some((said, got)) =
            openssl(&hub, &[version, "-brief", "-ign_eof", "-alpn", "http/1.1"], REQUEST).await
        else {
            return;
        };
        assert!(said.contains(&format!("Protocol version: {name}")), "{said}");
        assert!(said.contains("Verification: OK") && said.contains("CN=first"), "{said}");
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\nok\n"), "{got}");
    }
    let (_, said) = openssl(&hub, &["-alpn", "h2"], "Q\n").await.unwrap();
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    let (said, got) =
        openssl(&hub, &["-tls1_1", "-brief", "-ign_eof", "-cipher", "ALL:@SECLEVEL=0"], REQUEST)
            .await
            .unwrap();
    assert!(got.is_empty() && said.contains("alert "), "{said}");
}

#[tokio::test]
async fn curl_speaks_both_versions_over_tls() {
    let Some(mut curl) = Curl::find() else { return };
    let authority = Authority::new();
    let hub = Hub::over_tls(&authority, &[]).await;
    curl.authority = Some(authority.file(hub.room()));
    assert!(hub.url("/").starts_with("https://"));
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        curl.version = flag;
        let topic = hub.url(&format!("/topics/{version}"));
        let published = curl.run(&["-d", "one", "-w", "\n%{http_version} %{http_code}", &topic]).await;
        assert!(published.ends_with(&format!("\n{version} 201")), "{published}");
        let page = curl.json(&[&topic]).await;
        assert_eq!(page["events"][0]["data"], json!("one"));
        let since = page["next"].as_str().unwrap();
        let (held, second) = ([&*format!("{topic}?wait=40&since={since}")], ["-d", "two", &*topic]);
        let (page, _) = tokio::join!(curl.json(&held), curl.run(&second));
        assert_eq!(page["events"][0]["data"], json!("two"));
        let stream = format!("{topic}?since={since}");
        let mut stream = curl.follow(&["-H", "Accept: text/event-stream", &stream]);
        stream.until("data: two").await;
        curl.run(&["-d", "three", &format!("{topic}?close=true")]).await;
        stream.until("data: three").await;
        stream.until("event: tidings.end").await;
        while stream.line().await.is_some() {}
        stream.end().await;
    }
}

#[tokio::test]
async fn a_hangup_takes_a_new_certificate_and_leaves_connections_alone() {
    let Some(mut curl) = Curl::find() else { return };
    let authority = Authority::new();
    let hub = Hub::over_tls(&authority, &[]).await;
    curl.authority = Some(authority.file(hub.room()));
    curl.version = "--http2";
    let mut streams: Vec<_> =
        (0..5).map(|_| curl.follow(&["-H", "Accept: text/event-stream", &hub.url("/topics/a")])).collect();
    for stream in &mut streams {
        stream.until("retry: 2000").await;
    }
    authority.issue(hub.room(), "second");
    hub.signal(Signal::HUP);
    hub.logged("read the certificate again on SIGHUP", 1).await;
    let Some((said, _)) = openssl(&hub, &["-brief", "-ign_eof"], REQUEST).await else { return };
    assert!(said.contains("CN=second") && said.contains("Verification: OK"), "{said}");

    std::fs::write(hub.room().join("hub.key"), "nonsense").unwrap();
    hub.signal(Signal::HUP);
    let log = hub.logged("kept the certificate", 1).await;
    assert!(log.contains("hub.key: there is no `-----BEGIN PRIVATE KEY-----` in it"), "{log}");
    let (said, _) = openssl(&hub, &["-brief", "-ign_eof"], REQUEST).await.unwrap();
    assert!(said.contains("CN=second"), "{said}");

    hub.publish("a", "still here").await;
    for mut stream in streams {
        stream.until("data: still here").await;
    }
}

#[tokio::test]
async fn a_hub_that_cannot_speak_tls_does_not_start_and_says_why() {
    let (room, authority) = (room(), Authority::new());
    authority.issue(room.path(), "first");
    std::fs::rename(room.path().join("hub.key"), room.path().join("first.key")).unwrap();
    authority.issue(room.path(), "second");
    std::fs::write(room.path().join("text"), "text").unwrap();
    for (arguments, expected) in [
        (&["--tls-certificate", "hub.pem"][..], "failed to set `tls-key`: `tls-certificate` is set"),
        (&["--tls-key", "hub.key"], "failed to set `tls-certificate`: `tls-key` is set"),
        (&["--tls-certificate", "none.pem", "--tls-key", "hub.key"], "failed to read none.pem: No such file"),
        (&["--tls-certificate", "hub.pem", "--tls-key", "none.key"], "failed to read none.key: No such file"),
        (&["--tls-certificate", "text", "--tls-key", "hub.key"], "`-----BEGIN CERTIFICATE-----`"),
        (&["--tls-certificate", "hub.pem", "--tls-key", "text"], "`-----BEGIN PRIVATE KEY-----`"),
        (
            &["--tls-certificate", "hub.pem", "--tls-key", "first.key"],
            "the key in first.key does not belong to the certificate in hub.pem",
        ),
    ] {
        let mut command = command(room.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "memory:"]).args(arguments);
        let output = within("the hub to refuse", command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
