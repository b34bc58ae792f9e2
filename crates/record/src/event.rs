//! What is recorded.

use crate::preload::slot;

/// An allocator domain of CPython, of those that the pools serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Domain {
    /// `PYMEM_DOMAIN_MEM`: buffers of the interpreter and of extension modules.
    Mem = 1,
    /// `PYMEM_DOMAIN_OBJ`: objects.
    Obj = 2,
}

/// One call that the program made of the memory manager, or an arena that this call needed or gave back.
///
/// Events come in the order of the interpreter's global lock. Arenas stand right before the [`Allocate`] or
/// [`Resize`] that needed them, and right after the [`Release`] that emptied them; those that a resize emptied stand
/// before it.
///
/// [`Allocate`]: Event::Allocate
/// [`Resize`]: Event::Resize
/// [`Release`]: Event::Release
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `malloc`, `calloc`, or `realloc` of a null pointer.
    Allocate {
        /// Whose function was called.
        domain: Domain,
        /// By `calloc`.
        zeroed: bool,
        /// The block; 0 if the allocation failed.
        address: u64,
        /// Bytes asked for; 0 is possible, and yields a block.
        size: u64,
    },
    /// `realloc` of a block.
    Resize {
        /// Whose function was called.
        domain: Domain,
        /// The block that was there; it lives on if the call failed.
        old: u64,
        /// The block afterwards, often the same; 0 if the call failed.
        new: u64,
        /// Bytes asked for.
        size: u64,
    },
    /// `free` of a block (of a null pointer: not recorded).
    Release {
        /// Whose function was called.
        domain: Domain,
        /// The block.
        address: u64,
    },
    /// The pools asked for an arena.
    ArenaAcquired {
        /// Where it begins; 0 if it was refused.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The pools gave an arena back.
    ArenaReleased {
        /// Where it began.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The process is about to be forked. Recorded only if children are too: see
    /// [`SessionOptions::children`](crate::SessionOptions::children).
    Forked {
        /// Which fork of this process it is, counted from 1; [`Origin::Forked`](crate::Origin::Forked) has it in the child.
        fork: u64,
    },
    /// Something about objects: see [`ObjectEvent`].
    Object(ObjectEvent),
    /// The program reached a place of interest.
    Mark {
        /// Which; see [`MARK_DEBUG_MALLOC_STATS`](crate::MARK_DEBUG_MALLOC_STATS).
        code: u16,
    },
}

/// Takes events as they are read: see [`Consumer::drain_into`](crate::Consumer::drain_into).
///
/// Most sinks are functions, and need none of this. One that is to take tens of millions of events a second marks
/// [`Sink::take`] `#[inline(always)]`: then it becomes part of the code that reads each kind of event, and nobody has to
/// make an event, and to tell what it is.
pub trait Sink {
    /// Takes the next event.
    fn take(&mut self, event: Event);
}

/// What is told of objects, if that is recorded: see [`SessionOptions::objects`](crate::SessionOptions::objects).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectEvent {
    /// An object was born. Where counts are told, the value is how many items a tuple has that was born in memory of another
    /// one.
    Born {
        /// Its address.
        object: u64,
        /// Its type, by the place that it has at that time.
        of: u16,
    },
    /// Births tell of this type by this place from here on. It was described before.
    TypePlace {
        /// The type's address.
        of: u64,
        /// Its place, below 1023.
        place: u16,
    },
    /// The deallocation of an object begins.
    Dies {
        /// Its address.
        object: u64,
        /// It refers to nothing. Else what it refers to follows, as its type tells it.
        is_last: bool,
    },
    /// The same where counts are told: its type follows, and then what it refers to, up to [`Self::EdgesEnd`].
    BeginsToDie(u64),
    /// The type of the object that is dying there, by its address.
    OfType(u64),
    /// One that the dying object refers to.
    Edge {
        /// Its address.
        referent: u64,
        /// How many references to it there are.
        count: ReferentCount,
        /// The dying object refers to nothing else.
        is_last: bool,
    },
    /// Immortal ones that it refers to.
    Immortals {
        /// How many there are in a row.
        times: u32,
        /// The dying object refers to nothing else.
        is_last: bool,
    },
    /// The dying object refers to nothing else.
    EdgesEnd,
    /// The deallocation of this object, and with it all that happened inside, is over. Not told if the memory of the object was
    /// released in it.
    Ended(u64),
    /// This object is about to be resized: what is told next of a birth is where it goes on.
    Moves(u64),
    /// When the next deallocation is over will not be told: what happens inside of it is not known.
    Unnested,
    /// Nobody tells of births and deaths any more: the program has taken the tracer away.
    Lost,
    /// A type is described, which is at this address: its flags follow, and the pieces of two names, its own and that of the
    /// type that it has its deallocation from.
    Type(u64),
    /// The type's `tp_flags`; bit 32 if it has a finalizer, bit 33 if its objects can have weak references, bit 34 if they
    /// are deallocated as those of classes are, bit 35 if what is below classes is deallocated by code of an extension.
    TypeFlags(u64),
    /// The next bytes of a type's name; the last piece has a zero in it.
    TypeName([u8; 6]),
    /// What follows comes from interpreters that report changes of counts. A reference to this object was added.
    Up(u64),
    /// One is about to be given up, even if the object then dies.
    Down(u64),
    /// A number that belongs to the next event; if there is none it is 0.
    Value(u64),
    /// The object's count was written; the value is the new one.
    Set(u64),
    /// A weak reference with a callback to the object that dies, in the order in which that has them.
    Weak(u64),
    /// The object's deallocation is put off. (This is told of stock interpreters, too, from 3.14 on: when the next event comes,
    /// the last one first.)
    Deposited(u64),
    /// It is taken out of the trashcan: its deallocation follows.
    TakenUp(u64),
    /// Its finalizer is called; the value is 1 if the collector does that.
    Finalizer(u64),
    /// Its finalizer has returned; the value as before.
    Finalized(u64),
    /// The callback of this weak reference is called; the value is 1 if the collector does that.
    Callback(u64),
    /// It has returned; the value as before.
    CalledBack(u64),
    /// A collection begins; the value is its generation.
    Collection,
    /// It is over; the value is how many objects it found.
    Collected,
    /// The collector clears this object.
    Clearing(u64),
    /// It has.
    Cleared(u64),
    /// The object was resized, and may have moved; the value is where it was.
    Resized(u64),
    /// What follows is done by another thread, which this tells from others.
    Thread(u64),
    /// What follows is done by the interpreter of this number, by which the program tells its own apart: the first one has 0.
    Interpreter(u64),
    /// The finalizer of this object, which is dying, has run. What it refers to now follows.
    GoesOn(u64),
    /// The interpreter has begun to finalize.
    Finalizing,
    /// What follows comes where collections are recorded without counts. What the last call allocated is a container.
    Container,
    /// It is one if the block is that is released next.
    ContainerIf,
    /// A number that belongs to the next event that is none.
    Number(u64),
    /// The collector's settings: the numbers are the thresholds of its generations, whether it collects by itself, its flags,
    /// and 1 if no object that there is is ever collected from here on, 2 if all of those are again that were not.
    Settings,
    /// A collection begins. Its lists follow, up to that of this generation. The numbers are the counts of the generations, their
    /// thresholds, how many objects survived the last full collection and how many have come to the oldest generation
    /// since, the flags, the generation that the program asks for, plus 1 (0 if it asks for none, [`RUNS_INSIDE`] if the last
    /// allocation has made the collection due, and it runs inside of that, [`AT_END`] if the interpreter ends), and 1 if functions are called back.
    Collects(u64),
    /// A collection of this generation is over; the list follows on which its survivors are. The numbers are how many objects were
    /// collected, how many could not be, the counts of the generations, and of the long-lived, as above, how many nanoseconds it took,
    /// and 1 if functions are called back now.
    HasCollected(u64),
    /// The objects that follow are on the list of this generation, or on that behind which the collector has put those of the
    /// younger ones, the youngest first: then it is [`TOGETHER`] more. Each is told as [`Born`](Self::Born), with the number of
    /// references to it in the place of the type (if many, a number says how many); its type; weak references with callbacks to
    /// it; and to which containers it refers: with a count of 1 if these are not tracked, else 0; and 2 more if they are the values
    /// of a dictionary that are in the object which it belongs to.
    List(u64),
    /// The member has been finalized before.
    FinalizedBefore,
    /// The collector has run its finalizers. What follows are the members that were unreachable, and are alive.
    FinalizersRun,
    /// A collection of this generation has told its garbage from the others. The list follows on which these are, and who was taken
    /// for one of them before anybody looked.
    HasParted(u64),
    /// The object that dies next, in a collection, is a container on no list: so it is none of the garbage.
    DiesUntracked(u64),
    /// There are no more members.
    GraphEnds,
    /// A collection is over, and it is not known what it did. The numbers are the counts of the generations and of the long-lived
    /// behind it, if these are known.
    CollectionLost,
    /// A collection begins as [`Collects`](Self::Collects) says it, but calls functions of the program back before it looks: its lists
    /// are told when these have returned.
    CallsBack(u64),
    /// They have, and it looks. Its lists follow, up to that of this generation.
    Looks(u64),
    /// As [`Looks`](Self::Looks), of a collection that may look now: what follows says whether it does.
    MayLook(u64),
    /// The functions have returned that were called back when a collection was over.
    HasCalledBack,
    /// The last allocation made a collection due, which did not begin: an exception was on its way through the thread.
    Exception,
    /// From here on another interpreter runs, whose containers count for a collector of its own; or that one which is recorded.
    AnotherRuns(bool),
    /// As [`Collects`](Self::Collects), of a collection that may begin now: what follows says whether it does.
    MayCollect(u64),
    /// The collection begins that may, or does not.
    DoesCollect(bool),
}

/// In [`ObjectEvent::Collects`]: the collection runs inside of the allocation that made it due.
pub const RUNS_INSIDE: u64 = slot::INSIDE as u64;
/// There: the interpreter ends, and collects whatever is due.
pub const AT_END: u64 = slot::AT_END as u64;
/// In [`ObjectEvent::List`]: the lists of the younger generations are behind that of this one.
pub const TOGETHER: u64 = slot::TOGETHER as u64;

/// The number of references that stands for itself and all larger ones.
#[expect(clippy::cast_possible_truncation, reason = "it has ten bits")]
pub const COUNT_MANY: u16 = slot::COUNT_MANY as u16;
/// The number that says that an object is immortal.
#[expect(clippy::cast_possible_truncation, reason = "it has ten bits")]
pub const COUNT_IMMORTAL: u16 = slot::COUNT_IMMORTAL as u16;

/// How many references to an object there are.
///
/// A single number: what is written in one piece and read in another makes the processor wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ReferentCount(u16);

impl ReferentCount {
    /// More than are told.
    pub const MANY: Self = Self(COUNT_MANY);

    /// So many; [`Self::MANY`] from there on.
    #[must_use]
    pub const fn new(count: u16) -> Self {
        if count < Self::MANY.0 { Self(count) } else { Self::MANY }
    }

    /// How many there are, unless they are too many.
    #[must_use]
    pub const fn exactly(self) -> Option<u16> {
        if self.0 < Self::MANY.0 { Some(self.0) } else { None }
    }
}
