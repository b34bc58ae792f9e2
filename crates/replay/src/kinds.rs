//! What is known of types beyond what a trace tells: in which order their objects give up references when they die, whose
//! memory is kept for others, and who takes part in the trashcan.

use rc::Part;
use trace::TypeInfo;

use crate::free_lists;

/// In which order an object gives up its references, compared with the one in which its type tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Same,
    /// The order is not known, and told.
    Given,
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
    /// Whether its finalizer runs when its objects die.
    pub(crate) finalizes: Finalizes,
    /// And that may bring them back to life. (That of a generator closes it; what it raises is reported with the generator.)
    pub(crate) revives: bool,
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
    "filter",
    "itertools.accumulate",
    "itertools.chain",
    "itertools.dropwhile",
    "itertools.filterfalse",
    "itertools.starmap",
    "itertools.takewhile",
];
/// Types that have a finalizer, from their bases, which their own deallocation does not call.
const NOT_FINALIZED: &[&str] = &["_io.StringIO", "_io.BytesIO"];
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
        finalizes: Finalizes::Given,
        revives: true,
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
                "slice" if version < (3, 12) => Order::Given,
                _ => Order::Same,
            },
            keeps: info.foreign || KEPT.contains(&name),
            foreign: info.foreign,
            free_list: if info.class || info.foreign { None } else { free_lists::of_type(name, version) },
            finalizes: match family {
                _ if !info.finalizes => Finalizes::Never,
                _ if info.class => Finalizes::Always,
                _ if info.foreign => Finalizes::Given,
                family if NOT_FINALIZED.contains(&family) => Finalizes::Never,
                _ => Finalizes::Always,
            },
            revives: info.finalizes,
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

/// The major and minor number of a version.
pub(crate) fn minor_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
