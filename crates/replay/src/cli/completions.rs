//! `replay completions`.

use std::process::ExitCode;

use clap_complete::Shell;

use super::{UNUSABLE, answer, complain};

/// Print a script that lets a shell complete this command's arguments.
///
/// For bash: replay completions bash > ~/.local/share/bash-completion/completions/replay
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut command: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "replay", &mut script);
    match answer(&String::from_utf8_lossy(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("the script cannot be written: {error}"));
            ExitCode::from(UNUSABLE)
        }
    }
}
