//! Variables of the environment that look like settings and are none.

use std::collections::BTreeSet;
use std::env;

use std::ffi::OsStr;

use clap::{Command, CommandFactory as _};

use crate::Arguments;
use crate::failure::WrongArguments;
use crate::settings::{MERCURE_VARIABLES, SECRET_VARIABLES};

/// How alike two names are where one may be meant by the other, from 0 to 1.
const ALIKE: f64 = 0.85;
/// So many letters of a name may stand for all of it.
const SHORTENED: usize = 4;
const PREFIX: &str = "TIDINGS_";

/// What to say of each variable that nothing here reads.
pub(crate) fn warnings() -> Vec<String> {
    let known = known();
    let set: Vec<String> = env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    set.iter().filter_map(|name| warning(name, &known)).collect()
}

/// A setting whose variable is empty: whoever set it meant to give it a value, and nobody can say which. To leave the setting
/// as if it were not set might even open a hub.
pub(crate) fn empty_setting(command: Option<&OsStr>) -> Option<WrongArguments> {
    let arguments = Arguments::command();
    let command = arguments.find_subcommand(command.filter(|name| *name == "serve")?)?;
    let mut read = BTreeSet::new();
    add(command, &mut read);
    let name = read.into_iter().find(|name| env::var_os(name).is_some_and(|value| value.is_empty()))?;
    Some(WrongArguments::new(format!("the variable {name} is empty; unset it, or give it a value")))
}

fn warning(name: &str, known: &BTreeSet<String>) -> Option<String> {
    if !name.starts_with(PREFIX) || known.contains(name) || is_of_kubernetes(name) {
        return None;
    }
    let own = &name[PREFIX.len()..];
    // A name that was shortened is meant rather than one that has letters in common with it.
    let is_shortened = |other: &str| own.len() >= SHORTENED && other.starts_with(name);
    let alike = |other: &&String| match is_shortened(other) {
        true => 1.0,
        false => strsim::jaro_winkler(own, &other[PREFIX.len()..]),
    };
    let nearest =
        known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|other| alike(other) >= ALIKE);
    Some(match nearest {
        Some(other) => format!("the variable {name} is no setting, and is ignored; there is {other}"),
        None => {
            format!("the variable {name} is no setting, and is ignored; `tidings serve --help` lists them")
        }
    })
}

/// Kubernetes gives every container variables that tell of its services; that of a hub is likely to be `tidings`.
fn is_of_kubernetes(name: &str) -> bool {
    let rest = &name[PREFIX.len()..];
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|own| rest.starts_with(own))
}

fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = SECRET_VARIABLES.map(str::to_owned).into();
    known.extend(MERCURE_VARIABLES.map(str::to_owned));
    add(&Arguments::command(), &mut known);
    known
}

fn add(command: &Command, known: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    known.extend(variables.map(str::to_owned));
    for command in command.get_subcommands() {
        add(command, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_said() {
        let known = known();
        for (name, expected) in [
            ("TIDINGS_RETAIN_AEG", "there is TIDINGS_RETAIN_AGE"),
            ("TIDINGS_TLS_CERT", "there is TIDINGS_TLS_CERTIFICATE"),
            ("TIDINGS_TOKN", "there is TIDINGS_TOKEN"),
            ("TIDINGS_ZZZ", "`tidings serve --help`"),
        ] {
            let said = warning(name, &known).unwrap();
            assert!(said.contains(name) && said.contains(expected), "{said}");
        }
    }

    #[test]
    fn what_is_known_or_of_somebody_else_is_not_spoken_of() {
        let known = known();
        for name in [
            "TIDINGS_LISTEN",
            "TIDINGS_CONFIG",
            "TIDINGS_AUTH_HS256_SECRET",
            "TIDINGS_CA_FILE",
            "TIDINGS_PORT_8080_TCP_ADDR",
            "TIDINGS_SERVICE_HOST",
            "TIDINGS",
            "PATH",
        ] {
            assert_eq!(warning(name, &known), None, "{name}");
        }
    }
}
