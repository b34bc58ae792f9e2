//! `cargo xtask soak`: many programs on every interpreter, recorded and verified.

mod attempt;
mod document;
mod list;
mod packages;
mod results;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) use attempt::{Facts, Place, code};
pub(crate) use results::{Results, build, cache};

use crate::bench::{median, run_timed};
use crate::interpreters::{self, Interpreter, Tier};
use crate::{Result, workspace};
use list::{List, Program};
use packages::Packages;
use serde::{Deserialize, Serialize};

/// Record and verify many programs on every interpreter that is here, and write crates/record/SOAK.md (with another tier
/// SOAK-COLLECTIONS.md, SOAK-OBJECTS.md or SOAK-COUNTS.md).
///
/// The programs are in xtask/soak/programs.json. What they need is installed with pip into ~/.cache/vivarium/soak, where
/// results are kept, too: a soak that was ended goes on where it was, and what was built from other sources is run anew.
/// The page is written when everything has run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How much to record, of the interpreters that tell so much: counts of those that report these (`cargo xtask python`)
    #[arg(long, value_enum, default_value_t)]
    tier: Tier,
    /// End after so many minutes, with what is done by then
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// Only on these versions (3.11 is any 3.11, 3.11.2 that one)
    #[arg(long = "python", value_name = "VERSION")]
    pythons: Vec<String>,
    /// Only these programs
    #[arg(long = "program", value_name = "PROGRAM")]
    programs: Vec<String>,
    /// Run again what has been run
    #[arg(long)]
    again: bool,
    /// Measure what recording costs, instead: best on a machine that does nothing else
    #[arg(long)]
    timing: bool,
    /// How often to measure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Write the page even if not everything has run
    #[arg(long)]
    document: bool,
}

/// The interpreters of which so much can be recorded. Those that report counts run slower, and are for nothing else.
fn recordable(tier: Tier) -> Vec<Interpreter> {
    let found = if tier == Tier::Counts { interpreters::instrumented() } else { interpreters::find() };
    found.into_iter().filter(|one| one.tier().is_ok_and(|most| most >= tier)).collect()
}

/// The programs that are run where so much is recorded, with as much to do as is right there.
fn made_right(tier: Tier, mut programs: Vec<Program>) -> Vec<Program> {
    programs.retain(|program| program.tier <= tier);
    if tier == Tier::Blocks { programs } else { programs.iter().map(Program::made_small).collect() }
}

/// The name of a file of results.
fn file(tier: Tier, what: &str) -> String {
    match tier {
        Tier::Blocks => format!("{what}.jsonl"),
        tier => format!("{what}-{}.jsonl", tier.name()),
    }
}

/// What came out of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// Recorded and verified.
    Facts(Facts),
    /// It cannot run here.
    NotThere(String),
    /// It should have been recorded and was not, or it ended in another way than alone.
    Failed(String),
}

/// How long a program took, alone and recorded, in seconds; round by round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Timing {
    alone: Vec<f64>,
    recorded: Vec<f64>,
    /// The processors' time of all processes.
    alone_cpu: Vec<f64>,
    recorded_cpu: Vec<f64>,
}

/// What runs need.
struct Soak {
    tier: Tier,
    /// What it is run with: see [`build`].
    build: String,
    replay: PathBuf,
    cache: PathBuf,
    list: List,
    /// Those of the list that are to be run now.
    chosen: Vec<Program>,
    results: Results<Outcome>,
    timings: Results<Timing>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let tier = arguments.tier;
    let List { programs } = List::load()?;
    let list = List { programs: made_right(tier, programs) };
    let programs: Vec<Program> = list.chosen(&arguments.programs)?.into_iter().cloned().collect();
    let recordable = recordable(tier);
    let wanted = |one: &&Interpreter| {
        arguments.pythons.is_empty() || arguments.pythons.iter().any(|wanted| one.is(wanted))
    };
    let pythons: Vec<_> = recordable.iter().filter(wanted).collect();
    if pythons.is_empty() {
        return Err("no such CPython was found that can be recorded: see cargo xtask interpreters".to_owned());
    }
    let replay = workspace::build_replay()?;
    let cache = cache()?;
    let build = build()?;
    let results = Results::open(&cache, &file(tier, "results"), &build);
    let timings = Results::open(&cache, &file(tier, "timings"), &build);
    let mut soak = Soak { tier, replay, cache, list, chosen: programs.clone(), results, timings, build };
    let end = arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let mut failed = Vec::new();
    // On the diagonal, so that a soak that is ended early has seen each program and each interpreter.
    for turn in 0..pythons.len() {
        for (at, program) in programs.iter().enumerate() {
            if end.is_some_and(|end| end <= Instant::now()) {
                break;
            }
            let python = pythons[(turn + at) % pythons.len()];
            let said = if arguments.timing {
                soak.time(program, python, arguments)?
            } else {
                soak.attempt(program, python, arguments.again, &mut failed)?
            };
            if let Some(said) = said {
                eprintln!("{} on {}: {said}", program.name, python.label());
            }
        }
    }
    let page = document::page(&soak, &recordable);
    let pairs = soak.list.programs.iter().flat_map(|one| recordable.iter().map(move |python| (one, python)));
    let left = pairs.filter(|(program, python)| soak.results.get(&program.key(), python).is_none());
    match left.count() {
        0 => document::write(tier, &page)?,
        left if arguments.document => {
            eprintln!("{left} runs are left");
            document::write(tier, &page)?;
        }
        left => eprintln!("{left} runs are left: the page is written when they are done, or with --document"),
    }
    crate::answer(page.split("\n## ").nth(1).unwrap_or_default())?;
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} of the runs went wrong, the first: {first}", failed.len())),
    }
}

impl Soak {
    /// Records and verifies, and says what came out; unless that is known.
    fn attempt(
        &mut self,
        program: &Program,
        python: &Interpreter,
        again: bool,
        failed: &mut Vec<String>,
    ) -> Result<Option<String>> {
        if !again && self.results.get(&program.key(), python).is_some() {
            return Ok(None);
        }
        let outcome = self.outcome(program, python)?;
        let said = told(&outcome);
        if is_wrong(&outcome) {
            failed.push(format!("{} on {}: {said}", program.name, python.label()));
        }
        self.results.add(&program.key(), python, outcome)?;
        Ok(Some(said))
    }

    fn outcome(&self, program: &Program, python: &Interpreter) -> Result<Outcome> {
        if let Err(why) = program.runs_on(python) {
            return Ok(Outcome::NotThere(why));
        }
        let packages = self.packages(program, python)?;
        let missing = packages.as_ref().and_then(|packages| {
            let mut missing = program.needs.iter().filter_map(|name| Some((name, packages.missing(name)?)));
            missing.next().map(|(name, why)| format!("{name} is not installed: {why}"))
        });
        let missing = missing.or_else(|| {
            let module = program.imports.as_deref().filter(|module| !has(python, module))?;
            Some(format!("this interpreter comes without {module}"))
        });
        if let Some(why) = missing {
            return Ok(Outcome::NotThere(why));
        }
        let prepare = |command: &mut _| packages::environment(packages.as_ref(), command);
        Ok(attempt::facts(&self.replay, self.tier.name(), python, &program.words(), prepare)
            .map_or_else(Outcome::Failed, Outcome::Facts))
    }

    /// All that those to be run need on this interpreter, if this program needs something.
    fn packages(&self, program: &Program, python: &Interpreter) -> Result<Option<Packages>> {
        let install = || Packages::install(&self.cache, python, &list::packages(&self.chosen, python));
        (!program.needs.is_empty()).then(install).transpose()
    }

    /// Measures what recorded well, alone and recorded in turns; unless that has been measured.
    fn time(
        &mut self,
        program: &Program,
        python: &Interpreter,
        arguments: &Arguments,
    ) -> Result<Option<String>> {
        let runs = matches!(self.results.get(&program.key(), python), Some(Outcome::Facts(_)));
        if !runs || (!arguments.again && self.timings.get(&program.key(), python).is_some()) {
            return Ok(None);
        }
        let packages = self.packages(program, python)?;
        let mut timing = Timing::default();
        let words = program.words();
        for _ in 0..arguments.rounds {
            for replay in [None, Some(self.replay.as_path())] {
                let place = Place::new()?;
                let mut command = place.command_at(self.tier.name(), replay, python, &words);
                packages::environment(packages.as_ref(), &mut command);
                let (took, _) = run_timed(&mut command)?;
                let (wall, cpu) = match replay {
                    None => (&mut timing.alone, &mut timing.alone_cpu),
                    Some(_) => (&mut timing.recorded, &mut timing.recorded_cpu),
                };
                wall.push(took.wall);
                cpu.push(took.cpu);
            }
        }
        let said =
            format!("{:.2} s alone, {:.2} s recorded", median(&timing.alone), median(&timing.recorded));
        self.timings.add(&program.key(), python, timing)?;
        Ok(Some(said))
    }
}

/// Whether an interpreter comes with a module.
fn has(python: &Interpreter, module: &str) -> bool {
    let place = Place::new();
    place.is_ok_and(|place| {
        let words = ["-c".to_owned(), format!("import {module}")];
        let mut command = place.command(None, python, &words);
        packages::environment(None, &mut command);
        place.run(&mut command).is_ok_and(|(status, _)| status.success())
    })
}

fn is_wrong(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed(_) => true,
        Outcome::Facts(facts) => facts.diverged > 0,
        Outcome::NotThere(_) => false,
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(why) => format!("FAILED: {why}"),
        Outcome::NotThere(why) => why.clone(),
        Outcome::Facts(Facts { events, facts, diverged: 0, unverified: 0, .. }) => {
            format!("{events} events, {facts} facts as predicted")
        }
        Outcome::Facts(Facts { events, facts, diverged: 0, unverified, .. }) => {
            format!(
                "{events} events, {facts} facts as predicted but for {unverified} that could not be compared"
            )
        }
        Outcome::Facts(Facts { events, facts, diverged, unverified, .. }) => {
            format!("{events} events, {facts} facts: {diverged} DIVERGED, {unverified} unverified")
        }
    }
}
