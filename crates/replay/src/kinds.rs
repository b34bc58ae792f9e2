//! What is known of types beyond what a trace tells: in which order their objects give up references when they die, and
//! whose memory is kept for others.

use trace::TypeInfo;

/// In which order an object gives up its references, compared with the one in which its type tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Same,
    /// A dictionary tells values before keys, if it tells keys at all, and gives up keys first.
    Pairs,
    /// The order is not known, and told.
    Given,
}

/// What is to be known of a type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) order: Order,
    /// Memory of its objects may be kept for others.
    pub(crate) keeps: bool,
    /// Program code may run when its objects die.
    pub(crate) finalizes: bool,
    /// And that may bring them back to life. (The finalizer of a generator closes it.)
    pub(crate) revives: bool,
    /// What its objects tell of their references is not to be relied upon: some are not counted.
    pub(crate) borrows: bool,
}

/// Types whose objects give up their references in an order that their traversal does not tell.
const OF_THEIR_OWN: [&str; 7] = [
    "function",
    "frame",
    "generator",
    "coroutine",
    "async_generator",
    "traceback",
    "functools._lru_cache_wrapper",
];
/// Types whose objects tell what is on an interpreter's stack: from 3.14 on that need not be counted.
const STACKS: [&str; 4] = ["generator", "coroutine", "async_generator", "frame"];
/// Types whose objects' memory is kept for others of them, at least sometimes.
const KEPT: [&str; 24] = [
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

impl Kind {
    /// A type of which nothing is known.
    pub(crate) const UNKNOWN: Self =
        Self { order: Order::Given, keeps: true, finalizes: true, revives: true, borrows: true };

    /// What there is to know of a type, in this version of CPython.
    pub(crate) fn of(info: &TypeInfo, version: (u32, u32)) -> Self {
        let name = info.name.as_str();
        let is_dictionary = info.flags & 1 << 29 != 0;
        Self {
            order: match name {
                "dict" => Order::Pairs,
                _ if is_dictionary || OF_THEIR_OWN.contains(&name) => Order::Given,
                _ => Order::Same,
            },
            keeps: KEPT.contains(&name),
            finalizes: info.finalizes,
            revives: info.finalizes && !STACKS.contains(&name),
            borrows: version >= (3, 14) && STACKS.contains(&name),
        }
    }
}

/// The major and minor number of a version.
pub(crate) fn minor_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
