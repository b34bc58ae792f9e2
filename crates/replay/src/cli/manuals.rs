//! `replay manuals`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{UNUSABLE, complain};

/// Write manual pages, one for each command, into a folder.
///
/// For all users: replay manuals /usr/local/share/man/man1
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder, which is made if it is not there
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments, command: clap::Command) -> ExitCode {
    let folder = &arguments.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{}: {error}", folder.display()));
            ExitCode::from(UNUSABLE)
        }
    }
}
