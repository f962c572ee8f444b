use super::*;
use crate::settings::problem;
use clap::CommandFactory as _;

#[derive(Debug, clap::Parser)]
struct Program {
    #[command(flatten)]
    settings: Settings,
}

/// The three ways to set a thing cannot drift apart: each flag has the environment variable and the key
/// that its name says, and its help names a default.
#[test]
fn every_setting_is_a_flag_a_variable_and_a_key() {
    let command = Program::command();
    let mut flags = 0;
    for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
        let flag = argument.get_long().unwrap();
        let variable = format!("TIDINGS_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(argument.get_env().unwrap(), variable.as_str());
        let help = argument.get_help().unwrap().to_string();
        assert!(help.contains("[default: "), "{flag}: {help}");
        for spelling in [flag.to_owned(), flag.replace('-', "_")] {
            assert!(places(&spelling).any(|place| is_known(&place)), "{spelling} is no key");
        }
        flags += 1;
    }
    assert!(flags > 40, "{flags}");
}

/// A key at the top, among the limits, or in a section that the beginning of its name says.
fn places(name: &str) -> impl Iterator<Item = String> {
    let cuts = name.match_indices(['-', '_']).map(|(at, _)| at);
    let section = |at: usize| name[..at].replace(['-', '_'], ".");
    let sections = cuts.map(move |at| format!("[{}]\n{} = {{}}", section(at), &name[at + 1..]));
    [format!("{name} = {{}}"), format!("[limits]\n{name} = {{}}")].into_iter().chain(sections)
}

/// Hardly a setting is a table, so a key that is known may be refused for what it is given, and for nothing else.
fn is_known(text: &str) -> bool {
    !toml::from_str::<Settings>(text).is_err_and(|error| error.to_string().contains("unknown field"))
}

#[test]
fn the_help_names_the_defaults_that_are_in_force() {
    let help = Program::command().render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let http = HttpConfig::default();
    for default in [
        DEFAULT_LISTEN.to_owned(),
        LogPlace::Disk(DEFAULT_FOLDER.into()).to_string(),
        Span(Retention::DEFAULT_AGE).to_string(),
        Size(Retention::DEFAULT_BYTES).to_string(),
        DEFAULT_IDEMPOTENCY_WINDOW.to_string(),
        Size(HubConfig::DEFAULT_TAIL_BYTES as u64).to_string(),
        Span(http.heartbeat).to_string(),
        Span(http.max_wait).to_string(),
        Span(http.write_timeout).to_string(),
        Size(http.max_event_bytes as u64).to_string(),
        Size(http.max_batch_bytes as u64).to_string(),
        HubConfig::DEFAULT_MAX_TOPICS.to_string(),
        Span(Hub::DEFAULT_STREAM_LEASE).to_string(),
        http.max_batch_events.to_string(),
        http.max_connections.to_string(),
        format!("{}, and any number from this machine", defaults::MAX_CONNECTIONS_PER_ADDRESS),
        http.max_streams_per_connection.to_string(),
        Size(http.max_buffered_bytes as u64).to_string(),
        Size(http.max_head_bytes as u64).to_string(),
        Span(http.handshake_timeout).to_string(),
        Span(http.head_timeout).to_string(),
        Span(http.body_timeout).to_string(),
        Span(http.stream_timeout).to_string(),
        Span(http.idle_timeout).to_string(),
        Span(http.drain_timeout).to_string(),
        DEFAULT_LOG_LEVEL.to_owned(),
    ] {
        assert!(help.contains(&format!("[default: {default}]")), "{default}");
    }
}

#[test]
fn a_file_is_refused_with_the_place_and_what_would_be_right() {
    for (text, expected) in [
        ("listen = \"x\"\nheartbeet = \"1s\"", "unknown field `heartbeet`, expected one of"),
        ("heartbeat = \"soon\"", "`soon`: a duration is a number of seconds"),
        ("retain-bytes = \"much\"", "`much`: a size is a number of bytes"),
        ("log = \"tape:\"", "`tape:`: a log is `disk:FOLDER`, `memory:`, or the address"),
        ("durability = \"maybe\"", "unknown variant `maybe`, expected `sync` or `os`"),
        ("listen = ", "line 1, column 10"),
        ("\nlog = redis://:pass@h/x", "line 2, column 7, at `log`: "),
    ] {
        let error = problem(text, &toml::from_str::<Settings>(text).unwrap_err());
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains("line "), "{error}");
    }
}

#[test]
fn a_section_is_a_table() {
    for text in [
        "limits = []",
        "cors = [[\"*\"]]",
        "tls = [\"a\", \"b\"]",
        "auth = []",
        "auth.anonymous = [[\"**\"]]",
    ] {
        let error = problem(text, &toml::from_str::<Settings>(text).unwrap_err());
        assert!(error.contains("invalid type: sequence"), "{text}: {error}");
    }
}

#[test]
fn numbers_alone_are_seconds_and_bytes() {
    let settings: Settings = toml::from_str("heartbeat = 2.5").unwrap();
    assert_eq!(settings.http().unwrap().heartbeat, Duration::from_millis(2_500));
    assert!(toml::from_str::<Settings>("heartbeat = inf").is_err());
    let settings: Settings = toml::from_str("\u{feff}heartbeat = 20\ntail-bytes = 4096").unwrap();
    assert_eq!(settings.http().unwrap().heartbeat.as_secs(), 20);
    assert_eq!(settings.hub().unwrap().tail_bytes, 4_096);
}

#[test]
fn a_value_that_would_do_harm_is_refused() {
    for text in [
        "heartbeat = 0",
        "heartbeat = \"2m\"",
        "write-timeout = 0",
        "max-event-bytes = 0",
        "max-batch-bytes = \"1GiB\"",
        "max-connections = 0",
        "max-wait = \"100000d\"",
        "max-wait = \"999999999d\"",
        "[limits]\nmax-connections-per-address = 0",
        "[limits]\nmax-streams-per-connection = 0",
        "[limits]\nmax-connections-per-subject = 0",
        "[limits]\nmax-topics-per-request = 0",
        "[limits]\nmax-buffered-bytes = \"1MiB\"",
        "[limits]\nmax-head-bytes = 100",
        "[limits]\nmax-head-bytes = \"1GiB\"",
        "[limits]\nhandshake-timeout = 0",
        "[limits]\nhead-timeout = 0",
        "[limits]\nbody-timeout = 0",
        "[limits]\nstream-timeout = 0",
        "[limits]\nidle-timeout = 0",
        "[limits]\ndrain-timeout = 0",
    ] {
        let settings: Settings = toml::from_str(text).unwrap();
        let error = settings.http().unwrap_err().to_string();
        assert!(error.starts_with("failed to set `") && error.contains("it is "), "{text}: {error}");
    }
    assert!(toml::from_str::<Settings>("max-topics = 0").unwrap().hub().is_err());
    for lease in ["499ms", "601s"] {
        let settings = toml::from_str::<Settings>(&format!("stream-lease = \"{lease}\"")).unwrap();
        assert!(settings.stream_lease().is_err(), "{lease}");
    }
    for text in ["retain-age = 0", "retain-bytes = 0"] {
        assert!(toml::from_str::<Settings>(text).unwrap().retention().is_err(), "{text}");
    }
}

#[test]
fn proxies_are_named_by_address_or_network() {
    let settings: Settings = toml::from_str("trusted-proxies = [\"10.0.0.0/8\", \"::1\"]").unwrap();
    assert_eq!(settings.http().unwrap().trusted_proxies.to_string(), "10.0.0.0/8, ::1/128");
    let settings: Settings = toml::from_str("trusted-proxies = [\"nginx\"]").unwrap();
    let error = settings.http().unwrap_err().to_string();
    assert!(error.contains("`trusted-proxies`") && error.contains("`nginx`"), "{error}");
}

#[test]
fn a_certificate_needs_its_key() {
    for (text, expected) in
        [("certificate", "`tls-key`: `tls-certificate` is set"), ("key", "`tls-certificate`")]
    {
        let settings: Settings = toml::from_str(&format!("[tls]\n{text} = \"x.pem\"")).unwrap();
        let error = settings.tls.open().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Settings::default().tls.open().unwrap().is_none());
}

#[test]
fn the_files_that_the_documentation_shows_are_understood() {
    let mut files = 0;
    for page in [
        include_str!("../../../../../docs/operations.md"),
        include_str!("../../../../../docs/engines.md"),
        include_str!("../../../../../docs/relay.md"),
        include_str!("../../../../../docs/mercure.md"),
        include_str!("../../../../../README.md"),
    ] {
        for block in page.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            if let Err(error) = toml::from_str::<Settings>(text) {
                panic!("{}\n{text}", problem(text, &error));
            }
            files += 1;
        }
    }
    assert!(files > 2);
}

#[test]
fn what_is_set_first_wins() {
    let flags: Settings = toml::from_str("heartbeat = 20").unwrap();
    let file: Settings = toml::from_str("heartbeat = 10\nmax-wait = 5").unwrap();
    let both = flags.or(file).http().unwrap();
    assert_eq!((both.heartbeat.as_secs(), both.max_wait.as_secs()), (20, 5));
}
