//! The library that is preloaded into the recorded program: hooks and a ring, nothing else.
//!
//! It depends on `core` and the C library only and is compiled by `build.rs`, outside of cargo. The dynamic loader finds
//! the constructor and the destructor through their arrays; what is exported are the functions that start other
//! programs, in place of the C library's. All modules but this file are also compiled into `record`'s own unit tests,
//! where the workspace's lints see them.
#![no_std]
#![allow(dead_code)] // Parts of the shared layout are needed by the reading side only.

mod arena;
mod asked;
mod attend;
mod board;
mod called;
mod collections;
mod collector;
mod containers;
mod counts;
mod deposits;
mod environment;
mod exec;
mod family;
mod finalizers;
mod functions;
mod header;
mod hooks;
mod interpose;
mod interpreter;
mod layout;
mod lists;
mod members;
mod methods;
mod nesting;
mod numbers;
mod objects;
mod producer;
mod reader;
mod reasons;
mod referents;
mod reset;
mod returns;
mod ring;
mod slot;
mod stack_references;
mod start;
mod survivors;
mod sys;
mod text;
mod traverse;
mod types;

// rustc links a cdylib without default libraries. Naming libc makes it a dependency in the ELF sense too, so that
// its own constructors (which set `environ`) have run before ours.
#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: `abort` has no preconditions.
    unsafe { abort() }
}

// The precompiled `core` was built for unwinding and refers to this function, which `std` would define. Nothing unwinds
// here, so it is never called. Written in assembly because it must not be exported: a preloaded symbol would take
// the place of the true one in every other library.
core::arch::global_asm!(
    ".pushsection .text",
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    "ret",
    ".popsection",
);

extern "C" fn constructor() {
    start::constructor();
}

extern "C" fn destructor() {
    start::destructor();
}

use core::ffi::{c_char, c_int, c_void};
use exec::Strings;

/// # Safety
///
/// That of the C library's function, which it stands for; so for all that follow.
#[unsafe(no_mangle)]
unsafe extern "C" fn execve(path: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec::execve(path, arguments, environment) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise; `environ` is what the C library would take.
    unsafe { exec::execve(path, arguments, sys::environ as Strings) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: as in `execv`.
    unsafe { exec::execvpe(file, arguments, sys::environ as Strings) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn execvpe(file: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec::execvpe(file, arguments, environment) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec::fexecve(fd, arguments, environment) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawn(
    pid: *mut c_int,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec::spawn(c"posix_spawn", pid, path, actions, attributes, arguments, environment) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    pid: *mut c_int,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec::spawn(c"posix_spawnp", pid, file, actions, attributes, arguments, environment) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn system(line: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec::system(line) }
}

/// # Safety
///
/// See [`execve`].
#[unsafe(no_mangle)]
unsafe extern "C" fn popen(line: *const c_char, mode: *const c_char) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { exec::popen(line, mode) }
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = destructor;
