//! What is known of types beyond what a trace tells: in which order their objects give up references when they die, whose
//! memory is kept for others, and who takes part in the trashcan.

use rc::Part;
use trace::TypeInfo;

use crate::free_lists;

/// In which order an object gives up its references, compared with the one in which its type tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Same,
    /// This one: which comes next of those that the type tells, other than the object's own type. Of an object that tells
    /// fewer of them the order is not known.
    Of(&'static [usize]),
    /// The order is not known, and told.
    Given,
}

impl Order {
    /// Brings what an object's type told into the order in which the object gives that up; its type itself, which is
    /// at this place, is given up last anyway. False if the order is not known.
    pub(crate) fn arrange<T: Copy>(self, told: &mut [T], of: Option<usize>) -> bool {
        let places = match self {
            Self::Same => return true,
            Self::Given => return false,
            Self::Of(places) => places,
        };
        let others: Vec<usize> = (0..told.len()).filter(|&at| Some(at) != of).collect();
        if others.len() != places.len() {
            return others.len() < 2;
        }
        let before: Vec<T> = others.iter().map(|&at| told[at]).collect();
        others.iter().zip(places).for_each(|(&at, &place)| told[at] = before[place]);
        true
    }
}

/// Among the flags of a type: it is a dictionary, or made of one.
const IS_DICTIONARY: u32 = 1 << 29;

/// Whether a finalizer runs when an object dies, the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finalizes {
    Never,
    Always,
    /// It is not known, and told.
    Given,
}

/// When an object's weak references are cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weak {
    /// Before it gives up anything.
    First,
    /// In the middle of what it gives up: by the type that the class is made of.
    Middle,
    /// When it has given up all but its type.
    Last,
}

/// What is to be known of a type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) order: Order,
    /// Its objects are deallocated by code of an extension, of which nothing is known.
    pub(crate) foreign: bool,
    /// Memory of its objects may be kept for others.
    pub(crate) keeps: bool,
    /// The list in which it is, if it is known when: by its place in [`FREE_LISTS`](crate::free_lists::FREE_LISTS).
    pub(crate) free_list: Option<usize>,
    /// Memory that is kept keeps its reference to the type: so that it can be released in its way, whatever has become of
    /// who kept it.
    pub(crate) keeps_type: bool,
    /// Whether its finalizer runs when its objects die.
    pub(crate) finalizes: Finalizes,
    /// Whether one of the older kind runs behind that, and whenever they die.
    pub(crate) finalizes_late: bool,
    /// And that may bring them back to life. (That of a generator closes it; what it raises is reported with the generator.)
    pub(crate) revives: bool,
    /// Its objects' weak references are cleared before their finalizer runs.
    pub(crate) weak_first: bool,
    /// When they are cleared, else.
    pub(crate) weak: Weak,
    /// What its objects tell of their references is not to be relied upon: some are not counted.
    pub(crate) borrows: bool,
    /// Whether the collector of cycles knows its objects, and so whether their finalizers have run.
    pub(crate) is_gc: bool,
    /// What its objects are to the trashcan.
    pub(crate) part: Part,
}

/// Types whose objects do not give up their references in the order in which their traversal tells them, and with them the
/// types that have their deallocation from these.
const OUT_OF_ORDER: &[&str] = &[
    "function",
    "frame",
    "generator",
    "coroutine",
    "async_generator",
    "type",
    "functools._lru_cache_wrapper",
];
/// Types whose objects give up their references in another order, which is always the same. (Classes made of them have
/// references of their own.)
const IN_ORDER: &[(&str, &[usize])] = &[
    ("filter", &[1, 0]),
    ("itertools.dropwhile", &[1, 0]),
    ("itertools.takewhile", &[1, 0]),
    ("itertools.filterfalse", &[1, 0]),
    ("itertools.starmap", &[1, 0]),
    ("itertools.chain", &[1, 0]),
    ("itertools.accumulate", &[0, 2, 1, 3]),
    ("slice", &[2, 0, 1]),
    ("_io.BytesIO", &[1, 0]),
    ("_io.BufferedRWPair", &[1, 2, 0]),
];
/// Types that have a finalizer, from their bases, which their own deallocation does not call.
const NOT_FINALIZED: &[&str] = &["_io.StringIO", "_io.BytesIO", "_io.BufferedRWPair"];
/// Types that no class is made of, and that clear their objects' weak references behind all else.
const WEAK_LAST: &[&str] = &["typing.TypeVar", "typing.ParamSpec", "typing.TypeVarTuple"];
/// Types whose deallocation clears weak references first, and calls the finalizer then.
const GENERATORS: &[&str] = &["generator", "coroutine", "async_generator"];
/// Types that classes can be made of, and that clear their objects' weak references themselves.
const WEAKLY_REFERABLE: &[&str] = &[
    "set",
    "frozenset",
    "type",
    "module",
    "types.GenericAlias",
    "collections.deque",
    "functools.partial",
    "functools._lru_cache_wrapper",
    "_thread._local",
    "_thread.RLock",
    "itertools._tee",
    "_io._IOBase",
    "_io._RawIOBase",
    "_io._BufferedIOBase",
    "_io._TextIOBase",
    "_io.FileIO",
    "_io.BytesIO",
    "_io.StringIO",
    "_io.BufferedReader",
    "_io.BufferedWriter",
    "_io.BufferedRandom",
    "_io.BufferedRWPair",
    "_io.TextIOWrapper",
];
/// Types whose objects tell what is on an interpreter's stack: from 3.14 on that need not be counted.
const STACKS: &[&str] = &["generator", "coroutine", "async_generator", "frame"];
/// Types whose objects' memory is kept for others of them, at least sometimes.
const KEPT: &[&str] = &[
    "tuple",
    "list",
    "dict",
    "float",
    "int",
    "complex",
    "method",
    "builtin_function_or_method",
    "builtin_method",
    "slice",
    "range",
    "range_iterator",
    "list_iterator",
    "tuple_iterator",
    "Context",
    "_contextvars.Context",
    "async_generator_wrapped_value",
    "async_generator_asend",
    "_asyncio.FutureIter",
    "MemoryError",
    "frame",
    "set",
    "object",
    "bytes",
];
/// Types whose objects' deaths may be put off, before all of the collector's were (CPython 3.14).
const IN_TRASHCAN: &[&str] = &[
    "list",
    "tuple",
    "dict",
    "set",
    "frozenset",
    "frame",
    "traceback",
    "method-wrapper",
    "builtin_function_or_method",
    "collections.OrderedDict",
    "BaseException",
    "OSError",
    "ImportError",
    "StopIteration",
    "SystemExit",
    "SyntaxError",
    "AttributeError",
    "NameError",
    "UnicodeError",
];

impl Kind {
    /// A type of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        order: Order::Given,
        keeps: true,
        foreign: true,
        free_list: None,
        keeps_type: false,
        finalizes: Finalizes::Given,
        finalizes_late: false,
        revives: true,
        weak_first: false,
        weak: Weak::First,
        borrows: true,
        is_gc: false,
        part: Part::None,
    };

    /// What there is to know of a type, in this version of CPython.
    pub(crate) fn of(info: &TypeInfo, version: (u32, u32)) -> Self {
        let (name, family) = (info.name.as_str(), info.family.as_str());
        Self {
            order: match family {
                _ if info.foreign => Order::Given,
                // What else is made of a dictionary tells values first, and leaves keys out.
                _ if info.flags & IS_DICTIONARY != 0 && name != "dict" => Order::Given,
                family if OUT_OF_ORDER.contains(&family) => Order::Given,
                // Its callback may be gone by then: what it refers to died with what its class has.
                "weakref.ReferenceType" if info.class => Order::Given,
                family => match IN_ORDER.iter().find(|(known, _)| *known == family) {
                    Some(_) if info.class => Order::Given,
                    Some((_, places)) => Order::Of(places),
                    None => Order::Same,
                },
            },
            keeps: info.foreign || KEPT.contains(&name),
            foreign: info.foreign,
            free_list: if info.class || info.foreign { None } else { free_lists::of_type(name, version) },
            // (What Cython calls the variables of closures.)
            keeps_type: name == "_asyncio.FutureIter" || name.contains(".__pyx_scope_struct_"),
            finalizes: match family {
                _ if !info.finalizes => Finalizes::Never,
                _ if info.class => Finalizes::Always,
                _ if info.foreign => Finalizes::Given,
                family if NOT_FINALIZED.contains(&family) => Finalizes::Never,
                _ => Finalizes::Always,
            },
            finalizes_late: info.finalizes_late,
            revives: info.finalizes || info.finalizes_late,
            weak_first: GENERATORS.contains(&family),
            weak: match family {
                "collections.OrderedDict" => Weak::Middle,
                _ if info.class && (info.foreign || WEAKLY_REFERABLE.contains(&family)) => Weak::Middle,
                family if WEAK_LAST.contains(&family) => Weak::Last,
                _ => Weak::First,
            },
            borrows: version >= (3, 14) && STACKS.contains(&family),
            is_gc: info.is_gc(),
            part: match family {
                _ if info.class && info.is_gc() => Part::Instance,
                _ if IN_TRASHCAN.contains(&family) => Part::Container,
                _ => Part::None,
            },
        }
    }
}

/// The three numbers of a version; what is behind the last one (a release candidate's mark) is left out.
pub(crate) fn full_version(version: &str) -> Option<(u32, u32, u32)> {
    let (major, minor) = minor_version(version)?;
    let patch = version.split('.').nth(2)?;
    let digits = patch.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((major, minor, digits.parse().ok()?))
}

/// The major and minor number of a version.
pub(crate) fn minor_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
