//! Who may do what, as the program is told.

use std::path::Path;
use std::process::Output;

use http::{Method, Request};
use http_body_util::Full;

use crate::support::hub::{command, room};
use crate::support::{Hub, within};

const SECRET: &str = "a secret of thirty-two bytes, or a few more";

async fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = command(folder);
    command.args(arguments).envs(variables.iter().copied());
    within("the program to end by itself", command.output()).await.unwrap()
}

async fn said(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(folder, arguments, variables).await;
    assert!(!output.status.success(), "it did not refuse");
    String::from_utf8(output.stderr).unwrap()
}

/// A token as `tidings token` makes it.
async fn token(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let arguments: Vec<_> = ["token"].iter().chain(arguments).copied().collect();
    let output = run(folder, &arguments, variables).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.strip_suffix('\n').unwrap().to_owned()
}

async fn status(hub: &Hub, method: Method, target: &str, token: Option<&str>) -> u16 {
    let body = if method == Method::POST { "x" } else { "" };
    let mut request = Request::builder().method(method).uri(target);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    hub.ask(request.body(Full::new(body.into())).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn a_token_that_is_made_for_a_hub_opens_it() {
    let room = room();
    std::fs::write(room.path().join("secret"), format!("{SECRET}\n")).unwrap();
    let file = room.path().join("secret");
    let file = file.to_str().unwrap();
    let hub =
        Hub::in_memory(&["--auth-hs256-secret-file", file, "--auth-anonymous-subscribe", "news/**"]).await;
    let own = ["--publish", "orders/*", "--subscribe", "**", "--ttl", "5m", "--subject", "ann"];
    let from_file = token(room.path(), &own, &[("TIDINGS_AUTH_HS256_SECRET_FILE", file)]).await;
    let from_variable = token(room.path(), &own, &[("TIDINGS_AUTH_HS256_SECRET", SECRET)]).await;
    for token in [from_file, from_variable] {
        assert_eq!(status(&hub, Method::POST, "/topics/orders/42", Some(&token)).await, 201);
        assert_eq!(status(&hub, Method::POST, "/topics/a", Some(&token)).await, 403);
        assert_eq!(status(&hub, Method::GET, "/topics/a", Some(&token)).await, 200);
    }
    assert_eq!(status(&hub, Method::GET, "/topics/a", None).await, 401);
    assert_eq!(status(&hub, Method::GET, "/topics/news/today", None).await, 200);
    assert_eq!(status(&hub, Method::POST, "/topics/news/today", None).await, 401);
}

#[tokio::test]
async fn a_token_that_only_ends_topics_is_made_and_asked_for() {
    let room = room();
    let secret = [("TIDINGS_AUTH_HS256_SECRET", SECRET)];
    let hub = Hub::in_memory_with(&["--auth-close", "claim"], &secret).await;
    let closes = token(room.path(), &["--close", "orders/*"], &secret).await;
    let publishes = token(room.path(), &["--publish", "orders/*"], &secret).await;
    let end = async |token: &str| {
        let request =
            Request::post("/topics/orders/42?close=true").header("authorization", format!("Bearer {token}"));
        hub.ask(request.body(Full::default()).unwrap()).await.status.as_u16()
    };
    assert_eq!(status(&hub, Method::POST, "/topics/orders/42", Some(&closes)).await, 403);
    assert_eq!(status(&hub, Method::POST, "/topics/orders/42", Some(&publishes)).await, 201);
    assert_eq!(end(&publishes).await, 403);
    assert_eq!(end(&closes).await, 201);
    let said = said(
        room.path(),
        &["serve", "--auth-close", "claim", "--log", "memory:", "--listen", "127.0.0.1:0"],
        &[],
    );
    assert!(said.await.contains("`auth-close`"));
}

#[tokio::test]
async fn a_private_key_signs_for_hubs_that_have_its_public_one() {
    let room = room();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(room.path().join("private.pem"), pair.serialize_pem()).unwrap();
    let public = pair.public_key_pem();
    let hub =
        Hub::in_memory_with(&["--auth-audience", "tidings"], &[("TIDINGS_AUTH_PUBLIC_KEY", &public)]).await;
    std::fs::write(room.path().join("hub.toml"), "[auth]\naudience = \"tidings\"\n").unwrap();
    let own = ["--publish", "a", "--private-key-file", "private.pem", "--config", "hub.toml"];
    let from_file = token(room.path(), &own, &[]).await;
    let from_variable = token(room.path(), &own[..4], &[("TIDINGS_AUTH_AUDIENCE", "tidings")]).await;
    for token in [from_file, from_variable] {
        assert_eq!(status(&hub, Method::POST, "/topics/a", Some(&token)).await, 201);
    }
}

#[tokio::test]
async fn on_an_open_address_a_hub_starts_only_where_it_is_told_who_may_do_what() {
    let room = room();
    let serve = ["serve", "--log", "memory:", "--listen", "0.0.0.0:0"];
    let refused = said(room.path(), &serve, &[]).await;
    for part in ["0.0.0.0:", "--auth-hs256-secret-file", "--auth-anonymous-publish"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let hub = Hub::in_memory(&[]).await;
    assert_eq!(
        status(&hub, Method::POST, "/topics/a", None).await,
        201,
        "everyone may on a loopback address"
    );
    hub.logged("everyone on this machine may publish and read", 1).await;
    let everything = ["--auth-anonymous-publish", "**", "--auth-anonymous-subscribe", "**"];
    let hub = Hub::in_memory(&everything).await;
    assert_eq!(status(&hub, Method::POST, "/topics/a", None).await, 201);
}

#[tokio::test]
async fn what_is_of_no_use_is_refused_with_what_would_be_right() {
    let room = room();
    std::fs::write(room.path().join("short"), "short\n").unwrap();
    std::fs::write(room.path().join("hub.toml"), "[auth.anonymous]\nsubscribe = [\"a/**/b\"]\n").unwrap();
    let serve = |more: &'static [&'static str]| {
        let all: Vec<_> =
            ["serve", "--log", "memory:", "--listen", "127.0.0.1:0"].iter().chain(more).copied().collect();
        let folder = room.path().to_owned();
        async move { said(&folder, &all, &[]).await }
    };
    for (arguments, parts) in [
        (&["--auth-hs256-secret-file", "absent"][..], ["absent", "failed to read"]),
        (&["--auth-hs256-secret-file", "short"], ["short", "at least 32"]),
        (&["--auth-public-key-file", "short"], ["short", "BEGIN PUBLIC KEY"]),
        (&["--auth-jwks-url", "nonsense"], ["nonsense", "https://"]),
        (
            &["--auth-jwks-url", "http://user:s3cret@login.example/x"],
            ["`http://…@login.example/x`", "https://"],
        ),
        (&["--allowed-hosts", "hub.example:80"], ["allowed-hosts", "`hub.example:80`"]),
        (&["--cors-headers", "x y"], ["cors-headers", "`x y`"]),
        (&["--auth-anonymous-publish", "/a"], ["auth-anonymous-publish", "`/a`"]),
        (&["--config", "hub.toml"], ["auth-anonymous-subscribe", "`a/**/b`"]),
        (&["--cors-origins", "app.example"], ["cors-origins", "https://HOST"]),
    ] {
        let refused = serve(arguments).await;
        for part in parts {
            assert!(refused.contains(part), "{arguments:?} without {part}: {refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
    for name in ["TIDINGS_AUTH_HS256_SECRET", "TIDINGS_AUTH_PUBLIC_KEY"] {
        let all = ["serve", "--log", "memory:", "--listen", "127.0.0.1:0"];
        let refused = said(room.path(), &all, &[(name, " ")]).await;
        assert!(refused.contains(name) && refused.contains("empty"), "{refused}");
    }
    for flag in ["--auth-audience", "--auth-issuer", "--auth-cookie"] {
        let all = ["serve", "--log", "memory:", "--listen", "127.0.0.1:0", flag, "x"];
        let refused = said(room.path(), &all, &[]).await;
        assert!(refused.contains(&flag[2..]) && refused.contains("no key"), "{refused}");
    }
    let refused = said(room.path(), &["token", "--publish", "a"], &[]).await;
    assert!(refused.contains("--auth-hs256-secret-file"), "{refused}");
    let refused = said(room.path(), &["token", "--publish", "a/**/b"], &[]).await;
    assert!(refused.contains("a/**/b"), "{refused}");
}

/// Whatever else the hub's own log tells.
#[tokio::test]
async fn no_secret_reaches_a_log_line() {
    let room = room();
    let variables = [("TIDINGS_AUTH_HS256_SECRET", SECRET), ("TIDINGS_LOG_LEVEL", "trace")];
    let hub = Hub::in_memory_with(&[], &variables).await;
    let token = token(room.path(), &["--publish", "**", "--subscribe", "**"], &variables[..1]).await;
    assert_eq!(status(&hub, Method::POST, "/topics/a", Some(&token)).await, 201);
    assert_eq!(status(&hub, Method::GET, &format!("/topics/a?access_token={token}"), None).await, 200);
    let bad = format!("{token}x");
    assert_eq!(status(&hub, Method::GET, &format!("/topics/a?access_token={bad}&wait=1"), None).await, 401);
    let said = hub.logged("path=\"/topics/a\"", 3).await;
    assert_eq!(said.matches("path=\"/topics/a\"").count(), 3, "{said}");
    assert!(!said.contains(&token) && !said.contains(SECRET));
    let help = run(room.path(), &["serve", "--help"], &variables).await;
    assert!(!String::from_utf8(help.stdout).unwrap().contains(SECRET));
}
