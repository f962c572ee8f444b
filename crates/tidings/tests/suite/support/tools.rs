//! The programs and packages of others. `./test` installs them all; where one is missing, a test that needs it
//! says so and does nothing, or fails where `CI` or `TIDINGS_REQUIRE_ALL` says that nothing may be left out.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A program of the system, by any of its names.
pub(crate) fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where servers are, and not every user's path leads.
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("there is no {} here", names.join(" or ")));
    }
    found
}

/// A script for Node.js among the tests' clients, which finds a package there.
pub(crate) fn node(script: &str, package: &str) -> Option<Command> {
    let node = program(&["node"])?;
    let packages = folder("node");
    installed(&packages.join("node_modules").join(package))?;
    let mut command = Command::new(node);
    command.env("TIDINGS_NODE_PACKAGES", packages).arg(Path::new(SCRIPTS).join(script));
    Some(command)
}

/// A script for Python among the tests' clients.
pub(crate) fn python(script: &str) -> Option<Command> {
    let python = folder("python").join("bin/python");
    installed(&python)?;
    let mut command = Command::new(python);
    command.arg("-u").arg(Path::new(SCRIPTS).join(script));
    Some(command)
}

/// A program that a package of Python brings.
pub(crate) fn python_program(name: &str) -> Option<Command> {
    let program = folder("python").join("bin").join(name);
    installed(&program)?;
    Some(Command::new(program))
}

/// Where `./test` installs what is not part of the system.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-tools").join(name)
}

/// Whether something is there that `./test` installs.
pub(crate) fn installed(path: &Path) -> Option<()> {
    if !path.exists() {
        skip(&format!("{} is not installed", path.display()));
        return None;
    }
    Some(())
}

fn skip(why: &str) {
    let set = |name| std::env::var(name).is_ok_and(|value| !matches!(&*value, "" | "0" | "false"));
    assert!(!set("CI") && !set("TIDINGS_REQUIRE_ALL"), "{why}; `./test` installs what the tests need");
    // Not by a macro, whose output is only shown for tests that fail.
    drop(writeln!(std::io::stderr(), "SKIPPED: {why}; `./test` installs what the tests need"));
}
