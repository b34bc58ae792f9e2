//! How an event is packed into the 8-byte slots of the ring.
//!
//! ```text
//! bit 63   62 ............... 15   14 ..... 5   4 .. 1   0
//!     wide        address             size        op     phase
//! ```
//!
//! - *phase* tells a slot of this lap from one of the lap before: 1 in the first lap (memory starts zeroed), then
//!   alternating. It is what makes a slot valid; no shared counter is stored for each event, and what a killed
//!   program had written is there to be read.
//! - *size*: 0 to 1022 bytes; 1023 says that the size follows in a slot of its own.
//! - *address*: the lower 48 bits, which is the whole of it except for tagged pointers and 5-level page tables;
//!   *wide* says that the rest follows.
//!
//! Slots that follow (*extensions*) hold a phase bit and 63 bits of payload. Their order: the size, if it does not
//! fit; the upper 16 bits of the address and, above them, those of the old address, if *wide*; the lower 48 bits of
//! the old address, for a resize.
//!
//! Births, deaths and what dying objects refer to are most of what is told where objects are recorded, and take one slot
//! each.

/// The phase bit, in every slot.
pub const PHASE: u64 = 1;

/// An object was born: its address, and in the size field its type, by the place that it has at that time: see
/// [`TYPE_PLACE`].
pub const BORN: u8 = 0;
/// Where collections are recorded: an object that the collector looks at, its address, and in the size field its count; or one that
/// is left on its list.
pub const MEMBER: u8 = BORN;
/// The deallocation of an object begins: its address, which is even, and [`LAST`]. What it refers to follows.
pub const DIES: u8 = 1;
/// Address and size of an allocation of domain MEM; the domain's number minus one is added for OBJ.
pub const ALLOCATE: u8 = 2;
/// The same for zeroed memory.
pub const ALLOCATE_ZEROED: u8 = 4;
/// New address and size of a resize; the old address follows. The domain is added as above.
pub const RESIZE: u8 = 6;
/// Address of a release. The domain is added as above.
pub const RELEASE: u8 = 8;
/// Base and size of an arena obtained.
pub const ARENA_ACQUIRED: u8 = 10;
/// Base and size of an arena handed back.
pub const ARENA_RELEASED: u8 = 11;
/// A place in the program; the code is in the size field.
pub const MARK: u8 = 12;

/// A fork is about to happen; its number is in the address field.
pub const FORK: u8 = 13;

/// Something about objects: what is in the size field, see below; the address is the object's unless that says
/// otherwise.
pub const OBJECT: u8 = 14;
/// One that a dying object refers to: its address, which is even, and [`LAST`], and in the size field its count. If that is
/// [`COUNT_IMMORTAL`], so many in a row: twice how many, and [`LAST`].
pub const EDGE: u8 = 15;
/// In the address field of what is told of a dying object: that was all.
pub const LAST: u64 = 1;

/// In an [`OBJECT`] event: births tell of this type by its [place](type_place) from here on.
pub const TYPE_PLACE: u64 = 1;
/// The address of the type of what dies. (This and the next two only where counts are told.)
pub const OBJECT_TYPE: u64 = 2;
/// Its deallocation begins. What it refers to follows.
pub const OBJECT_DIES: u64 = 3;
/// That was all that it refers to.
pub const OBJECT_EDGES: u64 = 4;
/// Its deallocation, and so all inside of it, is over.
pub const OBJECT_ENDED: u64 = 5;
/// It is about to be resized, and goes on with what seems to be a birth.
pub const OBJECT_MOVES: u64 = 6;
/// The next death's end will not be told.
pub const OBJECT_UNNESTED: u64 = 7;
/// From here on nobody tells of births and deaths any more.
pub const OBJECTS_LOST: u64 = 8;
/// A type is described, by what follows: flags, and pieces of its name up to one with a zero in it.
pub const TYPE: u64 = 9;
/// Its `tp_flags`; bit 32: it has a finalizer; bit 33: its objects can have weak references; the
/// following: they are deallocated as those of classes are; by code outside of the interpreter; it has a finalizer of the
/// older kind.
pub const TYPE_FLAGS: u64 = 10;
/// Bytes of its name, the first one lowest.
pub const TYPE_NAME: u64 = 11;
/// A reference to the object was added. (This and what follows is told by interpreters that report counts.)
pub const COUNT_UP: u64 = 13;
/// One is about to be given up.
pub const COUNT_DOWN: u64 = 14;
/// A number that belongs to the next event, in the place of the address.
pub const VALUE: u64 = 15;
/// The object's count was written; the value is the new one.
pub const COUNT_SET: u64 = 16;
/// A weak reference with a callback, to the object that dies. In the order in which the object has them.
pub const WEAK: u64 = 17;
/// The object's death is put off. (This is told of stock interpreters, too, from 3.14 on: when the next event comes, the
/// last one first.)
pub const DEPOSITED: u64 = 18;
/// It is taken out of the trashcan, and dies now.
pub const TAKEN_UP: u64 = 19;
/// Around its finalizer. The value is 1 if the collector calls it.
pub const FINALIZER: u64 = 20;
pub const FINALIZED: u64 = 21;
/// Around the callback of the weak reference. The value is 1 if the collector calls it.
pub const CALLBACK: u64 = 22;
pub const CALLED_BACK: u64 = 23;
/// Around a collection; the value is the generation, and how many it found.
pub const COLLECTION: u64 = 24;
pub const COLLECTED: u64 = 25;
/// Around the clearing of the object by the collector.
pub const CLEARING: u64 = 26;
pub const CLEARED: u64 = 27;
/// The object was resized; the value is where it was.
pub const RESIZED: u64 = 28;
/// What follows is done by another thread; the address tells it from others.
pub const THREAD: u64 = 29;
/// The object's finalizer has run; what it refers to now follows.
pub const OBJECT_GOES_ON: u64 = 30;
/// The interpreter has begun to finalize.
pub const FINALIZING: u64 = 31;
/// What the last call of an allocator allocated is a container.
pub const CONTAINER: u64 = 32;
/// It is one if the block is that is released next.
pub const CONTAINER_IF: u64 = 41;
/// A number that belongs to the next event which is none of these, one of several.
pub const NUMBER: u64 = 33;
/// The collector's settings, which the numbers are: thresholds of the three generations, whether it collects by itself, its
/// flags, 1 if there are more objects that are never collected, 2 if there are none any more, and whether functions are called
/// back.
pub const SETTINGS: u64 = 34;
/// The members that follow are on the list of the generation in the address; with [`TOGETHER`], on that behind which the
/// collector has put the younger ones, youngest first.
pub const LIST: u64 = 35;
pub const TOGETHER: usize = 8;
/// The member has been finalized before.
pub const FINALIZED_BEFORE: u64 = 36;
/// There are no more members.
pub const GRAPH_ENDS: u64 = 37;
/// A collection is over, and it is not known what it did. Numbers say how things are now, if that is known: the counts of the
/// generations, and how many are long-lived.
pub const COLLECTION_LOST: u64 = 38;
/// Around a collection, where collections are recorded without counts: the address is the oldest generation that is told of,
/// then the one that it was; before them stand numbers.
pub const COLLECTS: u64 = 39;
pub const HAS_COLLECTED: u64 = 40;
/// The collector has run its finalizers; what follows are the members that were unreachable, and are alive, up to
/// [`GRAPH_ENDS`].
pub const FINALIZERS_RUN: u64 = 50;
/// A collection begins that looks up to this generation, as [`COLLECTS`] says it, but calls functions back before. When they have
/// returned, it looks at lists that are told then, up to [`GRAPH_ENDS`].
pub const CALLS_BACK: u64 = 46;
pub const LOOKS: u64 = 47;
/// As [`LOOKS`], of a collection that may look now; then comes whether it does, as above.
pub const MAY_LOOK: u64 = 49;
/// The functions have returned that were called back when a collection was over.
pub const HAS_CALLED_BACK: u64 = 48;
/// A collection of the generation in the address has told its garbage from the others. What follows are these, up to
/// [`GRAPH_ENDS`], and who has been taken for one of them since.
pub const HAS_PARTED: u64 = 54;
/// The object that dies next, in a collection, is a container on no list: so it is none of the garbage.
pub const DIES_UNTRACKED: u64 = 55;
/// What was allocated last made a collection due, which did not begin: an exception was on its way.
pub const EXCEPTION: u64 = 42;
/// As [`COLLECTS`], of a collection that may begin now; and whether it does.
pub const MAY_COLLECT: u64 = 43;
pub const DOES_COLLECT: u64 = 44;
pub const DOES_NOT_COLLECT: u64 = 45;
/// From here on another interpreter runs, which has a collector of its own, if the address is 1; if it is 0, the one whose collector
/// is recorded.
pub const ANOTHER_RUNS: u64 = 51;
/// What follows is done by another interpreter, whose number is in the place of the address; the first one's is 0. (This is told
/// where counts are.)
pub const INTERPRETER: u64 = 56;
/// Why a collection begins: the interpreter is at a safe point; the program asks for a generation, of which this is 1
/// more; an allocation has made it due, and it runs inside of that; or the interpreter ends.
pub const AT_SAFE_POINT: usize = 0;
pub const INSIDE: usize = 4;
pub const AT_END: usize = 5;
/// Bytes of a piece, and the most pieces that a name has.
pub const NAME_BYTES: usize = 6;
pub const NAME_PIECES: usize = 24;

/// In an [`EDGE`] of a [`MEMBER`]: to a container that is on a list, or on none; the same of the values of a dictionary that are
/// in the object which it belongs to.
pub const TRACKED: u64 = 0;
pub const UNTRACKED: u64 = 1;
pub const EMBEDDED: u64 = 2;
pub const EMBEDDED_UNTRACKED: u64 = 3;
/// Added to that: the reference is not counted.
pub const UNCOUNTED: u64 = 4;
/// In an [`EDGE`]: at least so many references.
pub const COUNT_MANY: u64 = 1021;
/// In an [`EDGE`]: these are immortal.
pub const COUNT_IMMORTAL: u64 = 1022;

const OP_SHIFT: u32 = 1;
const SIZE_SHIFT: u32 = 5;
const ADDRESS_SHIFT: u32 = 15;

/// The value of the size field that says "in an extension".
pub const SIZE_FOLLOWS: u64 = 1023;
/// Bits of an address that the first slot holds.
pub const ADDRESS_BITS: u32 = 48;
pub const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;
const WIDE: u64 = 1 << 63;
/// The most that an extension can hold.
pub const MAX_PAYLOAD: u64 = u64::MAX >> 1;
/// The most slots that one event takes.
pub const MAX_SLOTS: usize = 4;

/// How many immortal ones are told at once.
pub const MOST_IMMORTALS: u32 = 1 << 24;

/// How many places types have.
pub const TYPE_PLACES: usize = 1023;

/// The place of a type, by its address: it has that until another one does.
#[inline(always)]
pub const fn type_place(address: u64) -> u16 {
    let mixed = (address >> 4 ^ address >> 13) & 1023;
    // (So that none is the number that says that another follows.)
    ((mixed * TYPE_PLACES as u64) >> 10 & 1023) as u16
}

/// Does an event with these values fit into one slot?
#[inline(always)]
pub const fn is_narrow(size: u64, address: u64) -> bool {
    size < SIZE_FOLLOWS && address >> ADDRESS_BITS == 0
}

/// The first slot of an event, phase 0. The values must be narrow.
#[inline(always)]
pub const fn pack(op: u8, size: u64, address: u64) -> u64 {
    (op as u64) << OP_SHIFT | size << SIZE_SHIFT | address << ADDRESS_SHIFT
}

/// The payload slot that holds `value`, phase 0.
#[inline(always)]
pub const fn pack_extension(value: u64) -> u64 {
    value << 1
}

/// All slots of an event of any shape, phase 0, and how many they are.
///
/// Sizes from 2^63 on, which no allocator of CPython lets through, are recorded as 2^63 − 1.
pub const fn pack_any(op: u8, size: u64, address: u64, old: Option<u64>) -> ([u64; MAX_SLOTS], usize) {
    let mut slots = [0; MAX_SLOTS];
    let mut used = 1;
    let old_address = match old {
        Some(old) => old,
        None => 0,
    };
    let mut first = pack(op, if size < SIZE_FOLLOWS { size } else { SIZE_FOLLOWS }, address & ADDRESS_MASK);
    if size >= SIZE_FOLLOWS {
        slots[used] = pack_extension(if size < MAX_PAYLOAD { size } else { MAX_PAYLOAD });
        used += 1;
    }
    let upper = address >> ADDRESS_BITS | old_address >> ADDRESS_BITS << 16;
    if upper != 0 {
        first |= WIDE;
        slots[used] = pack_extension(upper);
        used += 1;
    }
    if old.is_some() {
        slots[used] = pack_extension(old_address & ADDRESS_MASK);
        used += 1;
    }
    slots[0] = first;
    (slots, used)
}

/// The operation of a first slot, 0 to 15.
#[inline(always)]
pub const fn op(slot: u64) -> u8 {
    (slot >> OP_SHIFT & 15) as u8
}

/// The size field of a first slot.
#[inline(always)]
pub const fn size(slot: u64) -> u64 {
    slot >> SIZE_SHIFT & SIZE_FOLLOWS
}

/// The lower 48 bits of the address in a first slot.
#[inline(always)]
pub const fn address(slot: u64) -> u64 {
    slot >> ADDRESS_SHIFT & ADDRESS_MASK
}

/// Do the upper bits of an address follow?
#[inline(always)]
pub const fn is_wide(slot: u64) -> bool {
    slot & WIDE != 0
}

/// The payload of an extension.
#[inline(always)]
pub const fn payload(slot: u64) -> u64 {
    slot >> 1
}

/// The phase bit that slots have in a lap, counted from 0.
#[inline(always)]
pub const fn phase_of_lap(lap: u64) -> u64 {
    (lap & 1) ^ 1
}
