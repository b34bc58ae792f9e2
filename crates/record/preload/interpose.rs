//! Puts functions of ours in the place of exported ones, in this process, without exporting any.
//!
//! The usual way is a library in front of the interpreter that exports the same names. It would have to be loaded into
//! every process that is started on the way, and into interpreters that need nothing of it; or the process would have
//! to be replaced by itself once more. Here the loader's own tables are changed instead, before `main`: the slots that
//! it has filled with the function's address, in all modules, and the value of the function's symbol, which is what it
//! fills slots with later: those of modules that are still to be loaded, and of calls that it binds when they are made
//! first. Whatever reaches a function by its name, or by a pointer that was made of it, then reaches ours.
//!
//! What does not go by the name cannot be caught: calls inside of a module that was linked as a whole (an executable
//! with the interpreter in it, a library linked with `-Bsymbolic`). Such a module has no slot for its own function,
//! which is how it is recognised, before anything is changed.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut, with_exposed_provenance, with_exposed_provenance_mut};
use core::slice;

use super::interpreter::find;
use super::methods::{EXECUTABLE, LOAD, PROTECTED_LATER, READABLE, WRITABLE};
use super::sys;

/// A function and what takes its place.
#[derive(Clone, Copy)]
pub struct Replacement {
    pub name: &'static CStr,
    /// Where the name leads now.
    pub original: usize,
    /// Where it shall lead.
    pub ours: usize,
    /// In all modules, also those loaded later; otherwise in the slots of the interpreter's module alone.
    pub everywhere: bool,
}

/// The most functions that are replaced at once.
const MOST: usize = 8;

/// `PT_DYNAMIC`.
const DYNAMIC: u32 = 2;

// Tags of `Elf64_Dyn`.
const PLT_BYTES: usize = 2;
const NAMES: usize = 5;
const SYMBOLS: usize = 6;
const RELOCATIONS: usize = 7;
const RELOCATION_BYTES: usize = 8;
const PLT_RELOCATIONS: usize = 23;

// Kinds of relocation: the address of a symbol plus an addend, in data; the address, in the table of addresses; the
// same, but maybe filled at the first call only.
#[cfg(target_arch = "x86_64")]
const KINDS: [u32; 3] = [1, 6, LAZY];
#[cfg(target_arch = "x86_64")]
const LAZY: u32 = 7;
#[cfg(not(target_arch = "x86_64"))]
const KINDS: [u32; 3] = [257, 1025, LAZY];
#[cfg(not(target_arch = "x86_64"))]
const LAZY: u32 = 1026;

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    /// 0 if the module only refers to it.
    section: u16,
    value: usize,
    size: usize,
}

/// `Elf64_Rela`.
#[repr(C)]
struct Relocation {
    offset: usize,
    kind: u32,
    symbol: u32,
    addend: usize,
}

/// What is done with the modules that the loader tells of.
struct Walk<'a> {
    replacements: &'a [Replacement],
    /// An address in the interpreter's module.
    interpreter: usize,
    /// Otherwise it is only looked.
    change: bool,
    /// Which of the replacements have slots in the interpreter's module.
    slots: [bool; MOST],
    /// Of which the symbol was found.
    symbols: [bool; MOST],
    /// A place could not be written to.
    failed: bool,
}

/// Do all calls of these functions from the interpreter's module (the one that contains `interpreter`) go by the name,
/// as far as can be seen?
///
/// # Safety
///
/// No other thread loads or unloads modules.
pub unsafe fn is_possible(replacements: &[Replacement], interpreter: *const c_void) -> bool {
    let mut walk = Walk::new(replacements, interpreter, false);
    // SAFETY: the caller's promise; `visit` takes a `Walk`, which outlives the call.
    unsafe { sys::dl_iterate_phdr(visit, (&raw mut walk).cast()) };
    let wanted = |(at, replacement): (usize, &Replacement)| {
        walk.slots[at] && (walk.symbols[at] || !replacement.everywhere)
    };
    replacements.len() <= MOST && replacements.iter().enumerate().all(wanted)
}

/// Replaces the functions, if that is possible. False: not all of them could be.
///
/// # Safety
///
/// As for [`is_possible`], and no other thread runs: what is changed is read without a lock. Each function of ours may
/// be called like the one whose place it takes, at any time from now on.
pub unsafe fn replace(replacements: &[Replacement], interpreter: *const c_void) -> bool {
    // SAFETY: the caller's promise.
    if !unsafe { is_possible(replacements, interpreter) } {
        return false;
    }
    let mut walk = Walk::new(replacements, interpreter, true);
    // SAFETY: the caller's promise; `visit` takes a `Walk`, which outlives the call.
    unsafe { sys::dl_iterate_phdr(visit, (&raw mut walk).cast()) };
    !walk.failed
}

/// Has a name lead to ours in modules that are loaded from here on; where the loader is glibc's, which tells of symbols. What is loaded
/// stays as it is.
///
/// # Safety
///
/// No other thread runs. Ours may be called like the function of that name, at any time from now on.
pub unsafe fn replace_later(name: &CStr, ours: usize) {
    type SymbolOf =
        unsafe extern "C" fn(*const c_void, *mut sys::SymbolInfo, *mut *const Symbol, c_int) -> c_int;
    /// `RTLD_DL_SYMENT`: the entry in the module's table is wanted.
    const ENTRY: c_int = 1;
    let (original, symbol_of) = (find(name), find(c"dladdr1"));
    if original.is_null() || symbol_of.is_null() {
        return;
    }
    let mut definition = Definition { original: original.addr(), symbol: null(), ours };
    let mut info = sys::SymbolInfo { file: null(), base: null_mut(), symbol: null(), address: null_mut() };
    // SAFETY: the function of this name has this type, and writes to the two; a symbol's name is terminated. `change` takes a
    // `Definition`, which outlives the call.
    unsafe {
        let symbol_of = core::mem::transmute::<*mut c_void, SymbolOf>(symbol_of);
        let is_found = symbol_of(original, &raw mut info, &raw mut definition.symbol, ENTRY) != 0;
        if is_found && !definition.symbol.is_null() && CStr::from_ptr(info.symbol) == name {
            sys::dl_iterate_phdr(change, (&raw mut definition).cast());
        }
    }
}

/// A function, the symbol that leads to it, and where that shall lead.
struct Definition {
    original: usize,
    symbol: *const Symbol,
    ours: usize,
}

/// Changes the symbol, if this is its module.
///
/// # Safety
///
/// As for [`visit`]; `definition` points to a [`Definition`].
unsafe extern "C" fn change(module: *mut sys::Module, _size: usize, definition: *mut c_void) -> c_int {
    // SAFETY: the caller's promise; the loader passes on the pointer that it was given.
    let (module, definition) = unsafe { (Loaded::new(&*module), &*definition.cast::<Definition>()) };
    if module.segment_of(definition.original).is_none() {
        return 0;
    }
    // SAFETY: the entry is one of this module's table. The loader adds the base to its value.
    unsafe {
        let value = (&raw const (*definition.symbol).value).addr();
        module.write(value, definition.ours.wrapping_sub(module.base));
    }
    1
}

impl<'a> Walk<'a> {
    fn new(replacements: &'a [Replacement], interpreter: *const c_void, change: bool) -> Self {
        let none = [false; MOST];
        let interpreter = interpreter.addr();
        Self { replacements, interpreter, change, slots: none, symbols: none, failed: false }
    }
}

/// Does what the walk is for with one module.
///
/// # Safety
///
/// `module` is valid and loaded, with as many segments as it states, and `walk` points to a [`Walk`].
unsafe extern "C" fn visit(module: *mut sys::Module, _size: usize, walk: *mut c_void) -> c_int {
    // SAFETY: the caller's promise; the loader passes on the pointer that it was given.
    let (module, walk) = unsafe { (Loaded::new(&*module), &mut *walk.cast::<Walk<'_>>()) };
    let is_interpreter = module.segment_of(walk.interpreter).is_some();
    // SAFETY: the module is loaded.
    let Some(tables) = (unsafe { module.tables() }) else { return 0 };
    for relocation in tables.relocations.iter().flat_map(|table| table.iter()) {
        if !KINDS.contains(&relocation.kind) || relocation.symbol == 0 {
            continue;
        }
        // SAFETY: the loader has used the same entry to relocate the module, and its name.
        let (symbol, name) = unsafe {
            let symbol = tables.symbols.add(relocation.symbol as usize);
            (symbol, CStr::from_ptr(tables.names.add((*symbol).name as usize)))
        };
        let Some(at) = walk.replacements.iter().position(|replacement| replacement.name == name) else {
            continue;
        };
        let replacement = &walk.replacements[at];
        if !is_interpreter && !replacement.everywhere {
            continue;
        }
        // SAFETY: the relocation is one of this module, of such a kind, and the symbol's entry may be read.
        unsafe {
            if let Some(slot) = module.slot(relocation, replacement) {
                walk.slots[at] |= is_interpreter;
                let ours = replacement.ours.wrapping_add(relocation.addend);
                walk.failed |= walk.change && !module.write(slot, ours);
            }
            let defined = module.base.wrapping_add((*symbol).value);
            let is_definition = (*symbol).section != 0 && defined == replacement.original;
            if is_definition && replacement.everywhere {
                walk.symbols[at] = true;
                // The loader adds the base to it.
                let ours = replacement.ours.wrapping_sub(module.base);
                let value = (&raw const (*symbol).value).addr();
                walk.failed |= walk.change && !module.write(value, ours);
            }
        }
    }
    0
}

/// A module in memory.
struct Loaded<'a> {
    base: usize,
    segments: &'a [sys::Segment],
}

/// Where the loader finds what it needs of a module.
struct Tables<'a> {
    symbols: *const Symbol,
    names: *const c_char,
    relocations: [&'a [Relocation]; 2],
}

impl<'a> Loaded<'a> {
    /// # Safety
    ///
    /// The module has as many segments as it states.
    unsafe fn new(module: &'a sys::Module) -> Self {
        // SAFETY: the caller's promise.
        let segments = unsafe { slice::from_raw_parts(module.segments, usize::from(module.segment_count)) };
        Self { base: module.base, segments }
    }

    /// The loaded segment in which an address lies.
    fn segment_of(&self, address: usize) -> Option<&'a sys::Segment> {
        self.segments.iter().find(|segment| {
            let offset = address.wrapping_sub(self.base.wrapping_add(segment.address));
            segment.kind == LOAD && offset < segment.memory_size
        })
    }

    /// # Safety
    ///
    /// The module is loaded.
    unsafe fn tables(&self) -> Option<Tables<'a>> {
        let dynamic = self.segments.iter().find(|segment| segment.kind == DYNAMIC)?;
        let entries = with_exposed_provenance::<[usize; 2]>(self.base.wrapping_add(dynamic.address));
        // SAFETY: the table is part of the loaded module.
        let entries =
            unsafe { slice::from_raw_parts(entries, dynamic.memory_size / size_of::<[usize; 2]>()) };
        let value = |tag: usize| {
            entries
                .iter()
                .take_while(|entry| entry[0] != 0)
                .find(|entry| entry[0] == tag)
                .map(|entry| entry[1])
        };
        // The loader replaces offsets by addresses where the table is writable.
        let address = |tag: usize| {
            value(tag).map(|value| if value < self.base { self.base.wrapping_add(value) } else { value })
        };
        let relocations = |start: usize, bytes: usize| match (address(start), value(bytes)) {
            (Some(start), Some(bytes)) => {
                let start = with_exposed_provenance::<Relocation>(start);
                // SAFETY: the loader has read the same table.
                unsafe { slice::from_raw_parts(start, bytes / size_of::<Relocation>()) }
            }
            _ => &[],
        };
        Some(Tables {
            symbols: with_exposed_provenance(address(SYMBOLS)?),
            names: with_exposed_provenance(address(NAMES)?),
            relocations: [
                relocations(RELOCATIONS, RELOCATION_BYTES),
                relocations(PLT_RELOCATIONS, PLT_BYTES),
            ],
        })
    }

    /// The slot of a relocation, if it leads to the original.
    ///
    /// # Safety
    ///
    /// The relocation is one of this module, of a kind in [`KINDS`].
    unsafe fn slot(&self, relocation: &Relocation, replacement: &Replacement) -> Option<usize> {
        let slot = self.base.wrapping_add(relocation.offset);
        // SAFETY: the slots of these kinds are words of the module.
        let found = unsafe { with_exposed_provenance::<usize>(slot).read() };
        // Before its first call a lazy slot leads to where the loader is asked, in the same module.
        let is_unbound = relocation.kind == LAZY && self.segment_of(found).is_some();
        (is_unbound || found == replacement.original.wrapping_add(relocation.addend)).then_some(slot)
    }

    /// Writes a word of the module, lifting the protection of its page meanwhile. Returns whether that was possible.
    ///
    /// # Safety
    ///
    /// The address is that of an aligned word of this module that may be changed.
    unsafe fn write(&self, at: usize, value: usize) -> bool {
        let Some(segment) = self.segment_of(at) else { return false };
        // SAFETY: no preconditions.
        let page_size = usize::try_from(unsafe { sys::getpagesize() }).unwrap_or(4096);
        let page = at / page_size * page_size;
        let is_protected = self.segments.iter().any(|segment| {
            let start = self.base.wrapping_add(segment.address);
            let end = start.wrapping_add(segment.memory_size);
            // The loader protects whole pages.
            let (first, behind) = (start / page_size * page_size, end / page_size * page_size);
            segment.kind == PROTECTED_LATER && (first..behind).contains(&at)
        });
        let flags = if is_protected { READABLE } else { segment.flags };
        let word = with_exposed_provenance_mut::<usize>(at);
        if flags & WRITABLE != 0 {
            // SAFETY: the word lies in memory that is writable.
            unsafe { word.write(value) };
            return true;
        }
        let bit = |flag: u32, protection: c_int| if flags & flag != 0 { protection } else { 0 };
        let before = bit(READABLE, sys::PROT_READ) | bit(EXECUTABLE, sys::PROT_EXEC);
        let page = with_exposed_provenance_mut::<c_void>(page);
        // SAFETY: the page is one of the module, not one that anything runs in at the moment (it has one thread, and
        // that is here); it becomes writable and, when the word is written, what it was.
        unsafe {
            if sys::mprotect(page, page_size, sys::PROT_READ | sys::PROT_WRITE) != 0 {
                return false;
            }
            word.write(value);
            sys::mprotect(page, page_size, before) == 0
        }
    }
}
