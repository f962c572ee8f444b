//! `tidings completions` and `tidings man`: what shells and `man` know of the commands.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::failure::WrongArguments;

/// What `tidings completions` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Bash: tidings completions bash > ~/.local/share/bash-completion/completions/tidings
Zsh:  tidings completions zsh > ~/.zfunc/_tidings, in a folder that is in $fpath
Fish: tidings completions fish > ~/.config/fish/completions/tidings.fish

Exit codes: 0 printed; 1 failed; 2 wrong arguments.")]
pub(crate) struct Arguments {
    /// The shell
    shell: clap_complete::Shell,
}

/// What `tidings man` is told.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 written; 1 failed; 2 wrong arguments.")]
pub(crate) struct ManArguments {
    /// Where to write `tidings.1`, `tidings-serve.1` and so on
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::command(), "tidings", &mut text);
    Ok(std::io::stdout().write_all(&text)?)
}

pub(crate) fn write_man(arguments: &ManArguments) -> Result<(), Box<dyn Error>> {
    if !arguments.folder.is_dir() {
        return Err(WrongArguments::new(format!("{} is no folder", arguments.folder.display())).into());
    }
    Ok(clap_mangen::generate_to(crate::command().disable_help_subcommand(true), &arguments.folder)?)
}
