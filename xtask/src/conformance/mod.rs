//! `cargo xtask conformance`: CPython's own tests end the same whether they are recorded or not.

mod document;
mod outcomes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::interpreters::{self, Interpreter};
use crate::soak::{Facts, Place, Results, build, cache, code};
use crate::{Result, workspace};
use outcomes::{Outcomes, Unsteady, compare};

/// Run CPython's own tests alone and recorded, compare how each ended, and write crates/record/CONFORMANCE.md.
///
/// The modules are in xtask/soak/conformance.json, and the differences that there are reasons for. Results are kept in
/// ~/.cache/vivarium/soak: what was ended goes on where it was.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// End after so many minutes, with what is done by then
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// On these versions (3.11 is the newest 3.11 that comes with its tests, 3.11.2 that one) [default: those of the list]
    #[arg(long = "python", value_name = "VERSION")]
    pythons: Vec<String>,
    /// Only these modules
    #[arg(long = "module", value_name = "MODULE")]
    modules: Vec<String>,
    /// Run again what has been run
    #[arg(long)]
    again: bool,
    /// Write the page even if not everything has run
    #[arg(long)]
    document: bool,
}

/// The list.
#[derive(Deserialize)]
struct List {
    pythons: Vec<String>,
    modules: Vec<String>,
    differences: Vec<Difference>,
}

/// A test that ends in another way when it is recorded, and why that has to be so.
#[derive(Deserialize)]
struct Difference {
    module: String,
    /// A part of its name.
    test: String,
    why: String,
}

/// What came out of a module.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Compared(Compared),
    /// The interpreter comes without it.
    NotThere,
    /// It could not be recorded.
    Failed(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Compared {
    /// How many tests ended how, alone.
    ends: BTreeMap<String, usize>,
    /// Those that did not end the same in each run.
    unsteady: Vec<Unsteady>,
    /// What the traces came to.
    facts: Facts,
    /// What the recorder said if it does not record such a module.
    refused: Option<String>,
}

/// The exit status of `replay record` for what cannot be recorded; the program runs all the same.
const REFUSED: i32 = 125;

/// How often a module is run when its tests do not end the same.
const RUNS: usize = 3;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let path = workspace::root().join("xtask/soak/conformance.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let list: List = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if let Some(unknown) = arguments.modules.iter().find(|name| !list.modules.contains(name)) {
        return Err(format!("{unknown} is not in {}", path.display()));
    }
    let found = interpreters::find();
    let chosen =
        |wanted: &[String]| -> Vec<_> { wanted.iter().filter_map(|wanted| choose(&found, wanted)).collect() };
    let all = chosen(&list.pythons);
    let pythons = if arguments.pythons.is_empty() { all.clone() } else { chosen(&arguments.pythons) };
    if pythons.is_empty() {
        return Err("no such CPython that can be recorded and comes with its tests was found".to_owned());
    }
    let replay = workspace::build_replay()?;
    let mut results = Results::<Outcome>::open(&cache()?, "conformance.jsonl", &build()?);
    let end = arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    for module in &list.modules {
        for python in &pythons {
            let wanted = arguments.modules.is_empty() || arguments.modules.contains(module);
            let known = !arguments.again && results.get(module, python).is_some();
            if known || !wanted || end.is_some_and(|end| end <= Instant::now()) {
                continue;
            }
            let outcome = if has(python, &format!("test.{module}")) {
                attempt(&replay, python, module).map_or_else(Outcome::Failed, Outcome::Compared)
            } else {
                Outcome::NotThere
            };
            eprintln!("{module} on {}: {}", python.label(), told(&outcome));
            results.add(module, python, outcome)?;
        }
    }
    let document = document::Document::new(&list, &all, &results);
    if document.is_complete() || arguments.document {
        let path = workspace::root().join("crates/record/CONFORMANCE.md");
        std::fs::write(&path, document.page()).map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("{}: written", workspace::shown(&path));
    } else {
        eprintln!("some modules have not been run: the page is written when they have, or with --document");
    }
    match document.unexplained().first() {
        None => Ok(()),
        Some(first) => Err(format!("there are differences without a reason, the first: {first}")),
    }
}

/// The newest interpreter of a version that can be recorded and comes with its tests.
fn choose<'a>(found: &'a [Interpreter], wanted: &str) -> Option<&'a Interpreter> {
    let usable = found.iter().rev().filter(|one| one.is(wanted) && one.tier().is_ok());
    usable.into_iter().find(|one| has(one, "test.test_dict"))
}

/// Whether an interpreter comes with a module.
fn has(python: &Interpreter, module: &str) -> bool {
    let script =
        format!("import importlib.util, sys; sys.exit(importlib.util.find_spec({module:?}) is None)");
    let mut command = Command::new(&python.path);
    let command = command.args(["-I", "-c", &script]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a module alone and recorded; some more times if something differs.
fn attempt(replay: &Path, python: &Interpreter, module: &str) -> Result<Compared> {
    let (mut alone, mut recorded) = (Vec::new(), Vec::new());
    let (mut facts, mut refused) = (Facts::default(), None);
    loop {
        let mut ends = once(None, python, module)?.outcomes;
        let Once { mut outcomes, place, status, said } = once(Some(replay), python, module)?;
        if status == REFUSED && !place.trace().exists() {
            // Its own exit status is not to be had then.
            ends.remove(outcomes::STATUS);
            outcomes.remove(outcomes::STATUS);
            refused = Some(said.clone());
        }
        alone.push(ends);
        recorded.push(outcomes);
        facts.status = status;
        if place.trace().exists() {
            let more = place.verify(replay, status)?;
            facts.events += more.events;
            facts.allocations += more.allocations;
            facts.facts += more.facts;
            facts.diverged += more.diverged;
            facts.unverified += more.unverified;
        } else if refused.is_none() {
            return Err(format!("it was not recorded: {said}"));
        }
        let unsteady = compare(&alone, &recorded);
        if unsteady.is_empty() || alone.len() == RUNS {
            let mut ends = BTreeMap::new();
            for (_, end) in alone[0].iter().filter(|(name, _)| *name != outcomes::STATUS) {
                *ends.entry(end.clone()).or_default() += 1;
            }
            return Ok(Compared { ends, unsteady, facts, refused });
        }
    }
}

/// A run of a module.
struct Once {
    outcomes: Outcomes,
    place: Place,
    status: i32,
    /// The first thing that the recorder said.
    said: String,
}

fn once(replay: Option<&Path>, python: &Interpreter, module: &str) -> Result<Once> {
    let place = Place::new()?;
    let file: PathBuf = place.work().with_file_name("outcomes.xml");
    let words = ["-m", "test", "-v", "--junit-xml", &file.display().to_string(), module].map(str::to_owned);
    let mut command = place.command(replay, python, &words);
    // As a user's shell has it, but for what makes Python another.
    let kept = ["HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME"];
    let kept = kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept).env("LC_ALL", "C.UTF-8");
    let (status, said) = place.run(&mut command)?;
    let said = said.lines().find_map(|line| line.strip_prefix("replay: ")).unwrap_or_default().to_owned();
    let status = code(status);
    let outcomes = outcomes::read(python, &file, status)?;
    Ok(Once { outcomes, place, status, said })
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotThere => "this interpreter comes without it".to_owned(),
        Outcome::Failed(why) => format!("FAILED: {why}"),
        Outcome::Compared(Compared { ends, unsteady, facts, refused }) => {
            let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
            let Facts { facts, diverged, unverified, .. } = facts;
            let mut said = format!("{}; {facts} facts", ends.join(", "));
            if *diverged + *unverified > 0 {
                said += &format!(": {diverged} DIVERGED, {unverified} unverified");
            }
            said += &refused.as_ref().map_or(String::new(), |why| format!("\n  {why}"));
            for Unsteady { test, alone, recorded } in unsteady {
                said += &format!("\n  {test}: {alone:?} alone, {recorded:?} recorded");
            }
            said
        }
    }
}
