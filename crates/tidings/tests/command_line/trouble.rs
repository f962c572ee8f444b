//! What goes wrong is told, also where no person is looking.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::thread;

use crate::support::{Hub, Program, nobody};

#[test]
fn a_hub_that_is_away_is_told_of_once() {
    let url = nobody();
    let publisher = Program::start(&["publish", "a", "late"], &url);
    let subscriber = Program::start(&["subscribe", "a", "--since", "earliest"], &url);
    for program in [&publisher, &subscriber] {
        let told = program.told();
        assert!(told.starts_with("tidings: the hub cannot be reached: "), "{told}");
        assert!(told.contains(" again "), "{told}");
    }
    let _hub = Hub::start_at(url.strip_prefix("http://").unwrap(), &[]);
    assert_eq!(subscriber.line(), "late");
    let (code, ids, told) = publisher.end();
    assert_eq!((code, ids.len()), (Some(0), 1));
    assert!(told.iter().all(|line| !line.contains("cannot be reached")), "told again: {told:?}");
}

/// A server that answers everything alike.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut request = vec![0; 16 << 10];
            // Nobody who asks no more is owed an answer.
            drop(socket.read(&mut request));
            drop(socket.write_all(answer.as_bytes()));
            // What is unread when a socket is closed takes the answer with it.
            drop(socket.shutdown(Shutdown::Write));
            while socket.read(&mut request).is_ok_and(|count| count > 0) {}
        }
    });
    url
}

#[test]
fn what_is_no_hub_is_not_waited_for() {
    for (answer, words) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "it is not HTTP"),
        (
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
            "status 200 OK, text/html",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
            "status 404 Not Found, text/html",
        ),
        (
            "HTTP/1.1 301 Moved Permanently\r\nlocation: https://hub.example/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "on to https://hub.example/",
        ),
    ] {
        let url = server(answer);
        for arguments in
            [&["publish", "a", "x"][..], &["subscribe", "a"], &["subscribe", "a", "--transport", "poll"]]
        {
            let (code, _, told) = Program::start(arguments, &url).end();
            let told = told.join("\n");
            assert_eq!(code, Some(1), "{told}");
            assert!(told.contains("does not answer as a hub does") && told.contains(words), "{told}");
        }
    }
}

#[test]
fn a_port_that_speaks_no_tls_is_not_waited_for() {
    let url = server("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    for arguments in [&["publish", "a", "x"][..], &["subscribe", "a"]] {
        let (code, _, told) = Program::start(arguments, &url.replace("http://", "https://")).end();
        let told = told.join("\n");
        assert_eq!(code, Some(1), "{told}");
        assert!(
            told.contains("the hub does not speak TLS: its URL may have to begin with http://"),
            "{told}"
        );
    }
}

#[test]
fn a_gateway_without_a_hub_behind_it_is_waited_for() {
    let url = server(
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
    );
    for arguments in [&["publish", "a", "x"][..], &["subscribe", "a"]] {
        let told = Program::start(arguments, &url).told();
        assert!(told.contains("the hub answered 502") && told.contains(" again "), "{told}");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["serve", "--listen", ":1"][..], &["token", "--publish", "a"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        let output =
            command.args(arguments).current_dir(folder.path()).env("TIDINGS_LISTNE", "x").output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("the variable TIDINGS_LISTNE is no setting"), "{told}");
        assert!(told.contains("there is TIDINGS_LISTEN"), "{told}");
    }
}

#[test]
fn where_a_hub_cannot_listen_it_says_where_it_could() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (listen, code, words) in [
        (&*taken.to_string(), 1, &*format!("--listen 127.0.0.1:{}", taken.port() + 1)),
        (":8080", 2, "`127.0.0.1:8080` is for this machine alone"),
        ("8080", 2, "`127.0.0.1:8080` is for this machine alone"),
        ("127.0.0.1", 2, "an address is like"),
        ("192.0.2.1:0", 1, "no such address is this machine's"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command
            .args(["serve", "--log", "memory:", "--listen", listen])
            .args(["--auth-anonymous-subscribe", "a"]);
        let output = command.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&format!("failed to listen on {listen}: ")) && told.contains(words), "{told}");
        assert_eq!(output.status.code(), Some(code), "{told}");
    }
}
