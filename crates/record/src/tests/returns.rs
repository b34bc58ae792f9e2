//! Reading machine code, as compilers write it behind the call of the tracer.

use crate::preload::returns::{Return, behind};

/// Looks at some code, with empty instructions behind it.
fn look(code: &[u8]) -> (Return, usize) {
    let mut bytes = code.to_vec();
    bytes.resize(code.len() + 64, 0x90);
    let start = bytes.as_ptr().expose_provenance();
    // SAFETY: the code is there.
    (unsafe { behind(start, &(start..start + bytes.len())) }, start)
}

#[test]
fn a_jump_returns_to_where_the_caller_would_have() {
    // add $8,%rsp; mov %rbx,%rdi; mov %rbp,%rax; pop %rbx; pop %rbp; jmp *%rax
    let saved = [0x48, 0x83, 0xc4, 0x08, 0x48, 0x89, 0xdf, 0x48, 0x89, 0xe8, 0x5b, 0x5d, 0xff, 0xe0];
    assert_eq!(look(&saved).0, Return::Above(24));
    // mov 8(%rsp),%rcx; mov (%rsp),%rdi; add $0x18,%rsp; jmp *%rcx
    let spilled = [0x48, 0x8b, 0x4c, 0x24, 0x08, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x83, 0xc4, 0x18, 0xff, 0xe1];
    assert_eq!(look(&spilled).0, Return::Above(24));
}

#[test]
fn a_call_returns_behind_it() {
    // mov %rbx,%rdi; call *0x30(%rbp)
    let (found, start) = look(&[0x48, 0x89, 0xdf, 0xff, 0x55, 0x30]);
    assert_eq!(found, Return::To(start + 6));
    // jmp over three bytes; call *%r12
    let (found, start) = look(&[0xeb, 0x03, 0x0f, 0x0b, 0xcc, 0x41, 0xff, 0xd4]);
    assert_eq!(found, Return::To(start + 8));
    // mov 0x8(%rsp),%rdi; nopw 0(%rax,%rax,1); call rel32
    let direct = [0x48, 0x8b, 0x7c, 0x24, 0x08, 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xe8, 1, 2, 3, 4];
    let (found, start) = look(&direct);
    assert_eq!(found, Return::To(start + direct.len()));
}

#[test]
fn what_is_not_understood_is_said_not_to_be() {
    for code in [
        // A condition, the stack pointer from elsewhere, a call with something pushed, a trap, nothing at all.
        &[0x74, 0x05, 0xff, 0xd0][..],
        &[0x48, 0x8b, 0x65, 0x00, 0xff, 0xd0],
        &[0x53, 0xff, 0xd0],
        &[0x0f, 0x0b],
        &[],
    ] {
        assert_eq!(look(code).0, Return::Nowhere, "{code:x?}");
    }
    // A jump to where there is no code.
    assert_eq!(look(&[0xe9, 0, 0, 0, 0x40]).0, Return::Nowhere);
}
