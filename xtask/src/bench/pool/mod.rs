//! `cargo xtask bench pool`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}
pub(crate) fn run(_a: &Arguments) -> crate::Result<()> {
    Ok(())
}
