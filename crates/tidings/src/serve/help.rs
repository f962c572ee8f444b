//! The help of `tidings serve`: settings in groups, and with `-h` only those that nearly everybody needs.

use clap::Command;

/// What `-h` shows.
const SHORT: [&str; 11] = [
    "config",
    "listen",
    "log",
    "retain-age",
    "retain-bytes",
    "log-level",
    "auth-hs256-secret-file",
    "auth-anonymous-publish",
    "auth-anonymous-subscribe",
    "tls-certificate",
    "tls-key",
];

/// The groups, each with how the flags of its settings begin. The first that fits counts.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Log and retention", &["log", "durability", "retain-", "idempotency-", "tail-", "max-topics"]),
    ("Who may do what", &["auth-", "trusted-proxies", "hosts"]),
    ("TLS", &["tls-"]),
    ("Pages of other origins", &["cors-"]),
    ("Logging", &["log-level", "log-json", "access-log", "otlp-"]),
    ("Limits", &["max-", "head-", "heartbeat", "write-timeout", "stream-timeout", "retain", "topic-"]),
];

/// Puts the settings of `serve` into groups.
pub(crate) fn grouped(command: Command) -> Command {
    command.mut_args(|arg| {
        let heading = arg.get_long().and_then(heading);
        let is_short = arg.get_long().is_none_or(|flag| SHORT.contains(&flag));
        let arg = if is_short { arg } else { arg.hide_short_help(true) };
        match heading {
            Some(heading) => arg.help_heading(heading),
            None => arg,
        }
    })
}

fn heading(flag: &str) -> Option<&'static str> {
    let exact = ["log-level", "log-json"].contains(&flag).then_some("Logging");
    let fits = |names: &[&str]| names.iter().any(|name| flag.starts_with(name));
    exact.or_else(|| GROUPS.iter().find(|(_, names)| fits(names)).map(|(heading, _)| *heading))
}
