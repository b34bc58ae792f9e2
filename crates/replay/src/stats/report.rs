//! What is said of a trace: numbers, ready to be printed.

use std::cmp::Reverse;

use serde::Serialize;
use trace::{Header, Tier};

use super::accounts::{Account, Accounts, Period, Tally, Way};
use super::ages::{AGES, Quantile, Spread, age};

/// The statistics of one trace. `STATISTICS.md` has the definitions.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program's short name.
    pub program: String,
    /// The interpreter's version.
    pub python: String,
    /// How much the trace holds.
    pub tier: Tier,
    /// The trace whose past is this one's, up to the fork: that past is counted here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<String>,
    /// Whether it is told which deaths happened in collections: not at tier `objects`, whose collections, where it holds them,
    /// are told by events, which are too coarse for that. If not, what they freed is counted as if the program had.
    pub tells_collections: bool,
    /// Whether the trace tells when the interpreter begins to finalize. If not, what died then is counted as if the
    /// program ran.
    pub tells_exit: bool,
    /// Calls of the memory manager.
    pub events: u64,
    /// Bytes allocated.
    pub bytes_allocated: u64,
    /// All objects whose birth was seen.
    pub objects: Objects,
    /// Deaths of objects whose birth was not seen; nothing else here counts them.
    pub strangers_died: u64,
    /// Survivors by age.
    pub survival: Vec<Survivors>,
    /// What outermost deaths took along.
    pub cascades: Cascades,
    /// Deaths inside of others that no known reference explains, the most frequent first.
    pub hidden: Vec<Hidden>,
    /// References that dying objects gave up and had not told of, the most frequent first. Only known where changes of
    /// counts are.
    pub hidden_references: Vec<HiddenReferences>,
    /// Types by name, those with most births first.
    pub types: Vec<Type>,
}

/// What is counted of some objects.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Objects {
    /// Births.
    pub born: u64,
    /// Of those, in a block that had been another object's.
    pub recycled: u64,
    /// Of those, in no block that the trace knows.
    pub without_block: u64,
    /// Bytes of the blocks that they were born in.
    pub bytes: u64,
    /// Deaths.
    pub died: Deaths,
    /// Those that were alive when the recording ended.
    pub outlived: u64,
    /// How often a finalizer brought one back to life.
    pub revived: u64,
    /// Lifetimes.
    pub lifetime: Lifetimes,
}

/// Deaths, by what the program was at.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Deaths {
    /// The program ran.
    pub running: Ways,
    /// In a collection.
    pub in_collections: Ways,
    /// The interpreter had begun to finalize.
    pub at_exit: Ways,
}

/// Deaths, by the deaths that were going on.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ways {
    /// None.
    pub alone: u64,
    /// One that gave up the last reference to it.
    pub explained: u64,
    /// One that no known reference makes the cause of it.
    pub hidden: u64,
    /// One in which program code may have run.
    pub after_code: u64,
}

impl Ways {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.alone + self.explained + self.hidden + self.after_code
    }
}

impl From<&Tally> for Deaths {
    fn from(tally: &Tally) -> Self {
        let ways = |period| Ways {
            alone: tally.get(period, Way::Alone),
            explained: tally.get(period, Way::Explained),
            hidden: tally.get(period, Way::Hidden),
            after_code: tally.get(period, Way::AfterCode),
        };
        Self {
            running: ways(Period::Running),
            in_collections: ways(Period::InCollection),
            at_exit: ways(Period::AtExit),
        }
    }
}

/// Lifetimes, by two clocks.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lifetimes {
    /// In events.
    pub events: Quantiles,
    /// In bytes allocated meanwhile.
    pub bytes: Quantiles,
}

/// Ages by which a share of all objects born had died. Absent where more than that outlived the program, or none were
/// born.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Half of them.
    pub p50: Option<u64>,
    /// Nine of ten.
    pub p90: Option<u64>,
    /// 99 of a hundred.
    pub p99: Option<u64>,
    /// The longest of a lifetime that ended while the program ran.
    pub max: Option<u64>,
}

impl Quantiles {
    fn of(spread: &Spread, all: u64) -> Self {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| spread.quantile(percent, all)).map(Quantile::number);
        Self { p50, p90, p99, max: spread.largest() }
    }
}

/// How many lived to an age, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Survivors {
    /// The age, in bytes allocated since the birth.
    pub age: u64,
    /// Objects that died younger while the program ran.
    pub died: u64,
    /// Bytes of their blocks.
    pub died_bytes: u64,
    /// Objects that were younger when they outlived the program: how old they would have become is not known.
    pub unknown: u64,
}

/// What outermost deaths took along.
#[derive(Clone, Debug, Serialize)]
pub struct Cascades {
    /// Outermost deaths.
    pub outermost: u64,
    /// Of those, how many took nothing along.
    pub alone: u64,
    /// How many objects died inside, on average.
    pub mean_inside: Option<f64>,
    /// How many objects died inside.
    pub inside: Quantiles,
    /// Those with the most.
    pub longest: Vec<Cascade>,
}

/// One outermost death.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cascade {
    /// The type of the object that died. Absent if it was born before the recording.
    pub root: Option<String>,
    /// The event at which it began.
    pub event: u64,
    /// What the program was at then.
    pub when: Period,
    /// Objects that died inside of it.
    pub inside: u64,
    /// Deaths inside of each other, at most.
    pub levels: u64,
    /// Of those inside: how many no known reference explains.
    pub hidden: u64,
    /// Of those inside: how many died when program code may have run.
    pub after_code: u64,
    /// Bytes of the blocks of all of them.
    pub bytes: u64,
}

/// References that dying objects gave up and had not told of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct HiddenReferences {
    /// The type of the object that died. Absent if it was born before the recording.
    pub of: Option<String>,
    /// The type of what it referred to.
    pub to: Option<String>,
    /// How many.
    pub references: u64,
}

/// Deaths inside of others that no known reference explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hidden {
    /// The type of the object inside of whose death they were. Absent if it was born before the recording.
    pub inside: Option<String>,
    /// The type of the objects that died.
    pub died: String,
    /// How many.
    pub deaths: u64,
}

/// What is counted of the types of one name.
#[derive(Clone, Debug, Serialize)]
pub struct Type {
    /// The name.
    pub name: String,
    /// The counts.
    #[serde(flatten)]
    pub objects: Objects,
    /// Of the blocks that they were born in: the median of the sizes in bytes, exactly. Absent if there were none.
    pub size_median: Option<u64>,
    /// The largest.
    pub size_max: Option<u64>,
}

impl Type {
    fn of(account: &Account) -> Self {
        let lifetime = Lifetimes {
            events: Quantiles::of(&account.events, account.born),
            bytes: Quantiles::of(&account.allocated, account.born),
        };
        let objects = Objects {
            born: account.born,
            recycled: account.recycled,
            without_block: account.blockless,
            bytes: account.bytes,
            died: Deaths::from(&account.deaths),
            outlived: account.outlived(),
            revived: account.revived,
            lifetime,
        };
        let mut sizes: Vec<_> = account.sizes.iter().map(|(size, count)| (*size, *count)).collect();
        sizes.sort_unstable();
        let half = (account.born - account.blockless).div_ceil(2);
        let mut seen = 0;
        let median = sizes.iter().find(|(_, count)| {
            seen += count;
            seen >= half
        });
        Self {
            name: account.name.clone(),
            objects,
            size_median: median.map(|(size, _)| *size),
            size_max: sizes.last().map(|(size, _)| *size),
        }
    }
}

/// What is needed to draw a curve.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    lifetimes: Spread,
    born: u64,
}

impl Curve {
    /// The share of all objects born that had not died at this age, by those whose lifetimes are known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a curve is drawn with a few dots")]
    pub fn alive(&self, age: u64) -> f64 {
        let died = age.checked_sub(1).map_or(0, |age| self.lifetimes.up_to(age));
        if self.born == 0 { 0.0 } else { 1.0 - died as f64 / self.born as f64 }
    }

    /// The longest lifetime.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.lifetimes.largest().unwrap_or(0)
    }
}

impl Report {
    /// Sums accounts up.
    pub(super) fn new(header: &Header, accounts: &Accounts) -> (Self, Curve) {
        let mut all = Account::default();
        for account in &accounts.types {
            all.born += account.born;
            all.recycled += account.recycled;
            all.blockless += account.blockless;
            all.bytes += account.bytes;
            all.deaths.add(&account.deaths);
            all.revived += account.revived;
            all.events.merge(&account.events);
            all.allocated.merge(&account.allocated);
        }
        let mut types: Vec<_> =
            accounts.types.iter().filter(|account| account.born > 0).map(Type::of).collect();
        types.sort_by(|one, other| {
            other.objects.born.cmp(&one.objects.born).then_with(|| one.name.cmp(&other.name))
        });
        let name = |of: usize| accounts.types[of].name.clone();
        let mut hidden: Vec<_> = accounts
            .hidden
            .iter()
            .map(|(&(inside, died), &deaths)| Hidden { inside: inside.map(name), died: name(died), deaths })
            .collect();
        hidden.sort_by(|one, other| {
            let order = other.deaths.cmp(&one.deaths);
            order.then_with(|| (&one.inside, &one.died).cmp(&(&other.inside, &other.died)))
        });
        let references = |(&(of, to), &references): (&(Option<usize>, Option<usize>), &u64)| {
            HiddenReferences { of: of.map(name), to: to.map(name), references }
        };
        let mut hidden_references: Vec<_> = accounts.hidden_references.iter().map(references).collect();
        hidden_references
            .sort_by(|one, other| other.references.cmp(&one.references).then_with(|| one.cmp(other)));
        let inside = &accounts.cascades.inside;
        let longest = accounts.cascades.longest().into_iter().map(|cascade| {
            let Reverse(event) = cascade.event;
            let super::cascades::Cascade { inside, levels, hidden, after_code, bytes, when, root, .. } =
                cascade;
            Cascade { root: root.map(name), event, when, inside, levels, hidden, after_code, bytes }
        });
        let survivors = |index| Survivors {
            age: age(index),
            died: accounts.died.below(index),
            died_bytes: accounts.died_bytes.below(index),
            unknown: accounts.survived.below(index),
        };
        // Up to the first age that no object reaches.
        let ages = (0..AGES).find(|&index| age(index) > accounts.clock.bytes).map_or(AGES, |last| last + 1);
        let report = Self {
            program: header.program.name.clone(),
            python: header.interpreter.version.clone(),
            tier: header.tier,
            forked_from: header.parent.as_ref().map(|parent| parent.trace.clone()),
            tells_collections: header.tier > Tier::Objects,
            tells_exit: accounts.tells_exit,
            events: accounts.clock.events,
            bytes_allocated: accounts.clock.bytes,
            objects: Type::of(&all).objects,
            strangers_died: accounts.strangers,
            survival: (0..ages).map(survivors).collect(),
            cascades: Cascades {
                outermost: inside.len(),
                alone: inside.up_to(0),
                mean_inside: inside.mean(),
                inside: Quantiles::of(inside, inside.len()),
                longest: longest.collect(),
            },
            hidden,
            hidden_references,
            types,
        };
        (report, Curve { lifetimes: all.allocated, born: all.born })
    }
}
