//! The workspace: where things are, and building the command `replay`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    // This package lies directly in it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the command `replay` as users have it, and says where it is.
pub(crate) fn build_replay() -> Result<PathBuf> {
    eprintln!("building replay (release)");
    let output = cargo()
        .args(["build", "--quiet", "--release", "--package", "replay", "--bin", "replay"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err("replay cannot be built: see above".to_owned());
    }
    let executable = String::from_utf8_lossy(&output.stdout).lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_replay = message["target"]["name"] == "replay";
        message["executable"].as_str().filter(|_| is_replay).map(PathBuf::from)
    });
    executable.ok_or_else(|| "cargo did not say where it put replay: update cargo".to_owned())
}

/// A folder for what benchmarks keep from one run to the next, in cargo's target folder.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let executable = env::current_exe().map_err(|error| error.to_string())?;
    // This program is target/PROFILE/xtask.
    let target = executable.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_owned);
    let folder = target.join("xtask").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// A path as people want to see it: from the workspace or the home folder on.
pub(crate) fn shown(path: &Path) -> String {
    if let Ok(inside) = path.strip_prefix(root()) {
        return inside.display().to_string();
    }
    match env::var_os("HOME").and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(inside) => format!("~/{}", inside.display()),
        None => path.display().to_string(),
    }
}
