//! The library that is preloaded into the recorded program: hooks and a ring, nothing else.
//!
//! It depends on `core` and the C library only and is compiled by `build.rs`, outside of cargo. Nothing is
//! exported: the dynamic loader finds the constructor and the destructor through their arrays. All modules but
//! this file are also compiled into `record`'s own unit tests, where the workspace's lints see them.
#![no_std]
#![allow(dead_code)] // Parts of the shared layout are needed by the reading side only.

mod arena;
mod environment;
mod header;
mod hooks;
mod methods;
mod parent;
mod producer;
mod slot;
mod start;
mod sys;
mod text;

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

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = destructor;
