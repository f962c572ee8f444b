//! The program itself: settings, refusals, signals, what it writes.

use std::path::Path;
use std::process::Output;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::hub::{command, room};
use crate::support::{Connection, Hub, Version, within};

/// Runs the program where it is to end by itself.
async fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = command(folder);
    command.args(arguments).envs(variables.iter().copied());
    within("the program to end by itself", command.output()).await.unwrap()
}

/// Runs the program, which is to refuse, and gives what it says about it.
async fn refusal(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    // Should it begin to serve all the same, then nobody's port.
    let variables = [&[("TIDINGS_LISTEN", "127.0.0.1:0")], variables].concat();
    let output = run(folder, arguments, &variables).await;
    assert!(!output.status.success(), "it did not refuse");
    assert!(output.status.code().is_some(), "it ended by {}", output.status);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_hub_on_port_0_says_where_it_listens_and_nothing_else() {
    let mut hub = Hub::in_memory(&[]).await;
    assert_ne!(hub.address().port(), 0);
    assert_eq!(hub.get("/healthz").await.status, 200);
    let (status, more) = hub.terminate().await;
    assert!(status.success(), "{status}");
    assert_eq!(more, "");
}

#[tokio::test]
async fn the_help_explains_every_setting_with_its_default() {
    let room = room();
    let output = run(room.path(), &["serve", "--help"], &[]).await;
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for (flag, variable, default) in [
        ("--listen", "TIDINGS_LISTEN", "127.0.0.1:8080"),
        ("--log", "TIDINGS_LOG", "disk:./tidings-data"),
        ("--durability", "TIDINGS_DURABILITY", "sync"),
        ("--retain-age", "TIDINGS_RETAIN_AGE", "7d"),
        ("--retain-bytes", "TIDINGS_RETAIN_BYTES", "1GiB"),
        ("--idempotency-window", "TIDINGS_IDEMPOTENCY_WINDOW", "24h"),
        ("--tail-bytes", "TIDINGS_TAIL_BYTES", "64MiB"),
        ("--heartbeat", "TIDINGS_HEARTBEAT", "15s"),
        ("--max-wait", "TIDINGS_MAX_WAIT", "60s"),
        ("--write-timeout", "TIDINGS_WRITE_TIMEOUT", "60s"),
        ("--max-event-bytes", "TIDINGS_MAX_EVENT_BYTES", "1MiB"),
    ] {
        let at = help.find(&format!("{flag} <")).unwrap_or_else(|| panic!("{flag} is not explained"));
        let explanation = help[at..].split("\n      --").next().unwrap();
        let explanation = explanation.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(explanation.contains(&format!("[default: {default}]")), "{explanation}");
        // What is set is shown as well, unless it may hold a password.
        let shown = ["=]", "]"].map(|end| format!("[env: {variable}{end}"));
        assert!(shown.iter().any(|shown| explanation.contains(shown)), "{explanation}");
    }
}

#[tokio::test]
async fn a_file_is_refused_with_its_name_the_line_and_what_would_be_right() {
    let room = room();
    for (text, parts) in [
        ("listen = \"127.0.0.1:0\"\nheartbeet = \"1s\"\n", ["line 2", "heartbeet", "`heartbeat`"]),
        ("\n\nretain-age = \"a week\"\n", ["line 3", "a week", "500ms"]),
        ("tail-bytes = \"much\"\n", ["line 1", "much", "64MiB"]),
        ("durability = \"maybe\"\n", ["line 1", "maybe", "`sync` or `os`"]),
        ("log = \"tape:\"\n", ["line 1", "tape:", "`memory:`"]),
        ("max-connections = -1\n", ["line 1", "max-connections", "-1"]),
        ("listen = [\n", ["line 1", "array", "`]`"]),
    ] {
        std::fs::write(room.path().join("hub.toml"), text).unwrap();
        let said = refusal(room.path(), &["serve", "--config", "hub.toml"], &[]).await;
        for part in parts.into_iter().chain(["hub.toml"]) {
            assert!(said.contains(part), "{text:?} without {part:?}: {said}");
        }
    }
    let said = refusal(room.path(), &["serve", "--config", "absent.toml"], &[]).await;
    assert!(said.contains("absent.toml"), "{said}");
}

#[tokio::test]
async fn flags_and_variables_are_refused_by_name() {
    let room = room();
    let flag = |arguments: &'static [&'static str]| refusal(room.path(), arguments, &[]);
    let said = flag(&["serve", "--heartbeet", "1s"]).await;
    assert!(said.contains("--heartbeet") && said.contains("--heartbeat"), "{said}");
    let said = flag(&["serve", "--heartbeat", "soon"]).await;
    assert!(said.contains("--heartbeat") && said.contains("soon") && said.contains("500ms"), "{said}");
    let said = flag(&["serve", "--listen", "nowhere"]).await;
    assert!(said.contains("nowhere"), "{said}");
    let said = flag(&["serve", "--heartbeat", "1ms", "--log", "memory:"]).await;
    assert!(said.contains("heartbeat") && said.contains("from 1s to 60s"), "{said}");
    let said = flag(&["serve", "--log-level", "loud=perhaps", "--log", "memory:"]).await;
    assert!(said.contains("log-level") && said.contains("info"), "{said}");

    for (variable, value) in
        [("TIDINGS_MAX_WAIT", "soon"), ("TIDINGS_LOG", "tape:"), ("TIDINGS_DURABILITY", "maybe")]
    {
        let said = refusal(room.path(), &["serve"], &[(variable, value)]).await;
        let flag = variable.trim_start_matches("TIDINGS_").to_lowercase().replace('_', "-");
        assert!(said.contains(&flag) && said.contains(value), "{said}");
    }
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let room = room();
    let file = room.path().join("hub.toml");
    std::fs::write(&file, "max-event-bytes = 10\n").unwrap();
    let file = file.to_str().unwrap();

    let largest = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let hub = Hub::in_memory_with(arguments, variables).await;
        let mut largest = 0;
        for length in [10, 11, 20, 21, 30, 31] {
            let request = Request::post("/topics/a").body(Full::from("x".repeat(length))).unwrap();
            match hub.ask(request).await.status.as_u16() {
                201 => largest = length,
                status => assert_eq!(status, 413),
            }
        }
        largest
    };
    let variable = [("TIDINGS_MAX_EVENT_BYTES", "20")];
    assert_eq!(largest(&["--config", file], &[]).await, 10);
    assert_eq!(largest(&["--config", file], &variable).await, 20);
    assert_eq!(largest(&["--config", file, "--max-event-bytes", "30"], &variable).await, 30);
    // The file itself can be named by a variable.
    assert_eq!(largest(&[], &[("TIDINGS_CONFIG", file)]).await, 10);
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let hub = Hub::in_memory(&[]).await;
    let address = hub.address().to_string();
    let said = refusal(hub.room(), &["serve", "--log", "memory:", "--listen", &address], &[]).await;
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[tokio::test]
async fn a_second_hub_on_the_same_folder_is_refused() {
    let mut hub = Hub::on_disk(&[]).await;
    let id = hub.publish("a", "one").await.id;
    let said = refusal(hub.room(), &["serve", "--log", "disk:data", "--listen", "127.0.0.1:0"], &[]).await;
    assert!(said.contains("data"), "{said}");

    // The first is none the worse for it, and leaves the folder to the next.
    hub.publish("a", "two").await;
    hub.terminate().await;
    hub.start_again().await;
    let page = hub.get("/topics/a").await.json();
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    assert_eq!(page["events"][0]["id"], *id);
}

#[tokio::test]
async fn sigterm_and_sigint_end_everything_cleanly() {
    for (signal, version) in [
        (Signal::TERM, Version::Http1),
        (Signal::TERM, Version::Http2),
        (Signal::INT, Version::Http1),
        (Signal::INT, Version::Http2),
    ] {
        let mut hub = Hub::in_memory(&[]).await;
        let mut stream = opened(&hub, version, "/topics/a", "text/event-stream").await;
        let mut lines = opened(&hub, version, "/topics/a?since=earliest", "application/x-ndjson").await;
        hub.publish("b", "before").await;
        let address = hub.address();
        let held = tokio::spawn(async move {
            let mut connection = Connection::open(address, version).await?;
            connection.ask(Request::get("/topics/b?wait=60&since=latest").body(Full::default())?).await
        });
        hub.publish("a", "one").await;
        let first = next_frame(&mut lines.1).await.unwrap();
        assert!(first.contains("\"one\""), "{first}");
        someone_waits(&hub, "b").await;

        hub.signal(signal);
        let rest = rest_of(&mut stream.1).await;
        let farewell = rest.split_terminator("\n\n").last().unwrap();
        assert!(rest.contains("data: one\n\n"), "{rest}");
        assert!(farewell.starts_with("retry: ") && rest.ends_with("\n\n"), "{rest}");
        assert_eq!(rest_of(&mut lines.1).await, "");
        let answer = within("the held poll", held).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["events"], Value::Array(vec![]));
        let (status, _) = hub.ended().await;
        assert_eq!(status.code(), Some(0), "{signal:?}, {version:?}");
    }
}

type Opened = (Connection, hyper::body::Incoming);

/// A stream whose head is there.
async fn opened(hub: &Hub, version: Version, path: &str, form: &str) -> Opened {
    let request = Request::get(path).header("accept", form).body(Full::default()).unwrap();
    let opening = async {
        let mut connection = Connection::open(hub.address(), version).await?;
        let response = connection.send(request).await?;
        assert_eq!(response.status(), 200);
        Ok::<_, crate::support::connection::Failure>((connection, response.into_body()))
    };
    within("a stream to open", opening).await.unwrap()
}

/// The next bytes of a stream; `None` where it ends as it should.
async fn next_frame(body: &mut hyper::body::Incoming) -> Option<String> {
    let frame = within("bytes of a stream", body.frame()).await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// Everything to the end of a stream, which ends as it should.
async fn rest_of(body: &mut hyper::body::Incoming) -> String {
    let mut rest = String::new();
    while let Some(frame) = next_frame(body).await {
        rest.push_str(&frame);
    }
    rest
}

/// Waits until someone waits for the next event of a topic, which is known already.
async fn someone_waits(hub: &Hub, topic: &str) {
    let waiting = async {
        let mut connection = Connection::open(hub.address(), Version::Http1).await.unwrap();
        loop {
            let request = Request::get(format!("/topics?match={topic}")).body(Full::default()).unwrap();
            let list = connection.ask(request).await.unwrap().json();
            if list["topics"][0]["subscribers"] == 1 {
                return;
            }
        }
    };
    within("a reader that waits", waiting).await;
}

#[tokio::test]
async fn the_log_is_lines_of_json_where_asked_for() {
    let mut hub = Hub::in_memory(&["--log-json", "--log-level", "info"]).await;
    hub.terminate().await;
    let log = hub.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(log.contains("SIGTERM"), "{log}");

    let mut hub = Hub::in_memory(&[]).await;
    hub.terminate().await;
    let log = hub.log();
    assert!(log.contains("SIGTERM") && !log.contains("\u{1b}["), "colours belong on a terminal only: {log}");
}

#[tokio::test]
async fn the_settings_that_are_handed_out_are_understood() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd/tidings.toml");
    let hub = Hub::in_memory(&["--config", file]).await;
    assert_eq!(hub.get("/healthz").await.status, 200);
}

/// As it is handed out, it is for a proxy that lets in whoever comes: so nobody is, until it says who may.
#[tokio::test]
async fn the_settings_that_are_handed_out_let_nobody_in() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd/tidings.toml");
    let hub = Hub::in_memory(&["--config", file]).await;
    for path in ["/topics/a", "/topics", "/metrics", "/"] {
        let answer = hub.get(path).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("[auth.anonymous]"), "{}", answer.text());
    }
    hub.logged("every request is refused", 1).await;
    let opened = Hub::in_memory(&["--config", file, "--auth-anonymous-subscribe", "public/**"]).await;
    assert_eq!(opened.get("/topics/public/a").await.status, 200);
    assert_eq!(opened.get("/topics/a").await.status, 401);
}

#[tokio::test]
async fn the_console_is_refused_and_refuses_as_everything_else() {
    let hub = Hub::in_memory(&["--allowed-hosts", "hub.example"]).await;
    for (method, host, origin, status, kind) in [
        ("GET", "evil.example", None, 421, "misdirected"),
        ("POST", "hub.example", None, 405, "method-not-allowed"),
        ("DELETE", "localhost", None, 405, "method-not-allowed"),
        ("POST", "localhost", Some("http://localhost:1"), 403, "forbidden"),
    ] {
        for path in ["/", "/console.js"] {
            let mut request = Request::builder().method(method).uri(path).header("host", host);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let answer = hub.ask(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            assert_eq!(answer.json()["type"], format!("urn:tidings:{kind}"));
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert!(status != 405 || answer.headers["allow"] == "GET, HEAD");
        }
    }
    let request = Request::get("/").header("host", "HUB.example:80").body(Full::default()).unwrap();
    assert_eq!(hub.ask(request).await.status, 200);
}

/// What needs no token is for whoever runs a hub to say, not for the files that they begin with.
#[test]
fn nothing_that_is_handed_out_lets_anybody_in() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // What a chart can be told, and what is tried with it, lets nobody in by itself.
            let is_choice = path.extension().is_some_and(|kind| kind == "tpl" || kind == "py")
                || path.file_name().is_some_and(|name| name == "values.schema.json");
            if is_choice {
                continue;
            }
            // The chart's values name what may be said, and say that it is nobody.
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.replace("  anonymous:\n    subscribe: []\n    publish: []\n", "");
            let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            assert!(!lines.any(|line| line.to_lowercase().contains("anonymous")), "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 10, "{files}");
}

#[tokio::test]
async fn an_empty_variable_is_refused_by_name() {
    let room = room();
    for name in [
        "TIDINGS_LOG_LEVEL",
        "TIDINGS_LISTEN",
        "TIDINGS_MAX_CONNECTIONS",
        "TIDINGS_CONSOLE",
        "TIDINGS_CORS_ORIGINS",
        "TIDINGS_TLS_CERTIFICATE",
        "TIDINGS_AUTH_HS256_SECRET_FILE",
        "TIDINGS_AUTH_ANONYMOUS_SUBSCRIBE",
        "TIDINGS_AUTH_HS256_SECRET",
        "TIDINGS_CONFIG",
    ] {
        let output = run(room.path(), &["serve", "--listen", "127.0.0.1:0"], &[(name, "")]).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {error}");
        assert!(error.contains(name) && error.contains("empty"), "{name}: {error}");
        // Help is given in any case.
        assert!(run(room.path(), &["serve", "--help"], &[(name, "")]).await.status.success(), "{name}");
    }
}
