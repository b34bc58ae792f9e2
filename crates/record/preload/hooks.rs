//! The hooks on the allocators of domains MEM and OBJ.
//!
//! Each calls the allocator that was there before and writes what happened; a release is written before the call, so
//! that the arena which it may give back follows it, as arenas precede the allocation that needs them.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use super::attend;
use super::interpreter::{self, Interpreter};
use super::nesting;
use super::producer::Producer;
use super::slot;

/// Domain ids of `PyMem_SetAllocator`.
pub const MEM: u8 = 1;
/// Objects.
pub const OBJ: u8 = 2;

/// `PyMemAllocatorEx`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Allocator {
    pub context: *mut c_void,
    pub malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    pub calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    pub realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    pub free: unsafe extern "C" fn(*mut c_void, *mut c_void),
}

/// `PyMem_GetAllocator` and `PyMem_SetAllocator`.
pub type Exchange = unsafe extern "C" fn(c_int, *mut Allocator);

/// The functions that exchange allocators.
#[derive(Clone, Copy)]
pub struct Interface {
    pub get: Exchange,
    pub set: Exchange,
}

/// A value that the constructor writes once, before any hook can run.
pub struct Once<T>(UnsafeCell<Option<T>>);

// SAFETY: `set` is called by the constructor only, when the process has one thread; afterwards there are only reads.
unsafe impl<T: Copy> Sync for Once<T> {}

impl<T: Copy> Once<T> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// # Safety
    ///
    /// Nothing else accesses the value at the same time.
    pub unsafe fn set(&self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() = Some(value) }
    }

    #[inline(always)]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: no write happens while hooks are installed (see `set`).
        unsafe { (*self.0.get()).as_ref() }
    }
}

/// The allocators that were there before. They are outside of the wiped page: a forked child still needs them.
static ORIGINALS: Once<[Allocator; 2]> = Once::new();
static INTERFACE: Once<Interface> = Once::new();

/// The functions that exchange allocators; none before the hooks are installed, and in versions without.
pub fn interface() -> Option<&'static Interface> {
    INTERFACE.get()
}

/// Puts the hooks in. Nothing is recorded unless `producer` is attached to a ring.
///
/// # Safety
///
/// Called once, before the process has a second thread, with the interpreter's true functions and a producer that
/// lives as long as the process.
pub unsafe fn install(interface: Interface, producer: *mut Producer) {
    // SAFETY: nothing is installed yet, so nothing reads either value; the allocators fetched are the process's own.
    unsafe {
        ORIGINALS.set([fetch(&interface, MEM), fetch(&interface, OBJ)]);
        INTERFACE.set(interface);
        put_in(&interface, producer);
    }
}

/// Tells what the hooks call, where they are not installed as such.
///
/// # Safety
///
/// Called once, instead of [`install`], before anything calls a hook.
pub unsafe fn set_originals(originals: [Allocator; 2]) {
    // SAFETY: the caller's promise.
    unsafe { ORIGINALS.set(originals) };
}

/// The allocator that is installed for a domain.
///
/// # Safety
///
/// `interface` holds the interpreter's true functions.
pub unsafe fn fetch(interface: &Interface, domain: u8) -> Allocator {
    let mut allocator = hooks(domain, null_mut());
    // SAFETY: the domain exists and there is room for the answer.
    unsafe { (interface.get)(c_int::from(domain), &raw mut allocator) };
    allocator
}

/// Installs the hooks over whatever is there.
///
/// # Safety
///
/// As for [`install`], after the originals were fetched.
pub unsafe fn put_in(interface: &Interface, producer: *mut Producer) {
    for domain in [MEM, OBJ] {
        let mut allocator = hooks(domain, producer);
        // SAFETY: the structure is copied by the callee; its functions live as long as this library, which is never
        // unloaded, and meet the interpreter's contract as they forward to an allocator that does.
        unsafe { (interface.set)(c_int::from(domain), &raw mut allocator) };
    }
}

/// Puts the originals back.
///
/// # Safety
///
/// As for [`put_in`].
pub unsafe fn take_out(interface: &Interface) {
    let Some(originals) = ORIGINALS.get() else { return };
    for (domain, original) in [MEM, OBJ].into_iter().zip(originals) {
        let mut original = *original;
        // SAFETY: the allocator came from the interpreter, for this domain.
        unsafe { (interface.set)(c_int::from(domain), &raw mut original) };
    }
}

/// Are the hooks what the interpreter calls directly?
///
/// # Safety
///
/// As for [`fetch`].
pub unsafe fn are_outermost(interface: &Interface, producer: *mut Producer) -> bool {
    [MEM, OBJ].into_iter().all(|domain| {
        // SAFETY: the caller's promise.
        let found = unsafe { fetch(interface, domain) };
        let ours = hooks(domain, producer);
        found.context == ours.context && found.malloc as usize == ours.malloc as usize
    })
}

/// Is what was there before the hooks there again?
///
/// # Safety
///
/// As for [`fetch`].
pub unsafe fn are_originals(interface: &Interface) -> bool {
    let Some(originals) = ORIGINALS.get() else { return false };
    [MEM, OBJ].into_iter().zip(originals).all(|(domain, original)| {
        // SAFETY: the caller's promise.
        let found = unsafe { fetch(interface, domain) };
        found.context == original.context && found.malloc as usize == original.malloc as usize
    })
}

fn hooks(domain: u8, producer: *mut Producer) -> Allocator {
    let context = producer.cast();
    if domain == MEM {
        Allocator {
            context,
            malloc: malloc::<MEM>,
            calloc: calloc::<MEM>,
            realloc: realloc::<MEM>,
            free: free::<MEM>,
        }
    } else {
        Allocator {
            context,
            malloc: malloc::<OBJ>,
            calloc: calloc::<OBJ>,
            realloc: realloc::<OBJ>,
            free: free::<OBJ>,
        }
    }
}

#[inline(always)]
fn original<const DOMAIN: u8>() -> &'static Allocator {
    // SAFETY: hooks are installed after the originals were set, and never unset.
    unsafe { &ORIGINALS.get().unwrap_unchecked()[(DOMAIN - MEM) as usize] }
}

/// # Safety
///
/// `context` is what the hooks were installed with: a producer that lives as long as the process.
#[inline(always)]
unsafe fn producer<'a>(context: *mut c_void) -> &'a Producer {
    // SAFETY: the caller's promise; all fields are atomic, so shared references may coexist.
    unsafe { &*context.cast::<Producer>() }
}

pub unsafe extern "C" fn malloc<const DOMAIN: u8>(context: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the interpreter passes the context that it was given.
    let producer = unsafe { producer(context) };
    let original = original::<DOMAIN>();
    // SAFETY: the arguments that the interpreter gave, to the allocator that it gave.
    let call = || unsafe { (original.malloc)(original.context, size) };
    if !producer.enter() {
        return call();
    }
    before::<DOMAIN>(producer, size, null_mut());
    let block = call();
    producer.leave();
    write(producer, op::<DOMAIN>(slot::ALLOCATE), size as u64, block);
    after::<DOMAIN>(producer, block);
    block
}

unsafe extern "C" fn calloc<const DOMAIN: u8>(
    context: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    // SAFETY: as in `malloc`.
    let producer = unsafe { producer(context) };
    let original = original::<DOMAIN>();
    // SAFETY: as in `malloc`.
    let call = || unsafe { (original.calloc)(original.context, count, size) };
    if !producer.enter() {
        return call();
    }
    before::<DOMAIN>(producer, count.saturating_mul(size), null_mut());
    let block = call();
    producer.leave();
    write(producer, op::<DOMAIN>(slot::ALLOCATE_ZEROED), count.saturating_mul(size) as u64, block);
    after::<DOMAIN>(producer, block);
    block
}

pub unsafe extern "C" fn realloc<const DOMAIN: u8>(
    context: *mut c_void,
    old: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: as in `malloc`.
    let producer = unsafe { producer(context) };
    let original = original::<DOMAIN>();
    // SAFETY: as in `malloc`.
    let call = || unsafe { (original.realloc)(original.context, old, size) };
    if !producer.enter() {
        return call();
    }
    before::<DOMAIN>(producer, if old.is_null() { size } else { 0 }, null_mut());
    let block = call();
    producer.leave();
    if old.is_null() {
        write(producer, op::<DOMAIN>(slot::ALLOCATE), size as u64, block);
        after::<DOMAIN>(producer, block);
    } else if slot::is_narrow(size as u64, block as u64) && slot::is_narrow(0, old as u64) {
        producer.put(slot::pack(op::<DOMAIN>(slot::RESIZE), size as u64, block as u64));
        producer.put(slot::pack_extension(old as u64));
    } else {
        note_initialized(producer);
        producer.put_any(op::<DOMAIN>(slot::RESIZE), size as u64, block as u64, Some(old as u64));
    }
    block
}

pub unsafe extern "C" fn free<const DOMAIN: u8>(context: *mut c_void, block: *mut c_void) {
    // SAFETY: as in `malloc`.
    let producer = unsafe { producer(context) };
    let original = original::<DOMAIN>();
    // SAFETY: as in `malloc`.
    let call = || unsafe { (original.free)(original.context, block) };
    if block.is_null() || !producer.enter() {
        return call();
    }
    before::<DOMAIN>(producer, 0, block);
    nesting::release(producer, block.addr());
    write(producer, op::<DOMAIN>(slot::RELEASE), 0, block);
    call();
    producer.leave();
}

/// What comes before each call that is recorded.
#[inline(always)]
fn before<const DOMAIN: u8>(producer: &Producer, size: usize, released: *mut c_void) {
    nesting::settle(producer);
    attend::attend(producer, if DOMAIN == OBJ { size } else { 0 }, released);
}

/// What follows an allocation.
#[inline(always)]
fn after<const DOMAIN: u8>(producer: &Producer, block: *mut c_void) {
    if DOMAIN == OBJ {
        attend::note(producer, block);
    }
}

#[inline(always)]
const fn op<const DOMAIN: u8>(base: u8) -> u8 {
    base + (DOMAIN - MEM)
}

#[inline(always)]
fn write(producer: &Producer, op: u8, size: u64, block: *mut c_void) {
    let address = block as u64;
    if slot::is_narrow(size, address) {
        producer.put(slot::pack(op, size, address));
    } else {
        note_initialized(producer);
        producer.put_any(op, size, address, None);
    }
}

/// Learns, on one of the rarer paths, that the hooks still work when the interpreter has started.
#[inline(always)]
fn note_initialized(producer: &Producer) {
    #[cold]
    #[inline(never)]
    fn ask(producer: &Producer) {
        if interpreter::recorded().is_some_and(Interpreter::is_initialized) {
            producer.set_initialized();
        }
    }
    if !producer.is_initialized() {
        ask(producer);
    }
}
