//! bench
#[derive(clap::Subcommand)]
pub(crate) enum Command {}
pub(crate) fn run(_c: &Command) -> crate::Result<()> {
    Ok(())
}
