//! Where a function returns to that is called next: read from the machine's code.
//!
//! Behind the call of the tracer comes the call of the type's own function, or a jump to it: the interpreter has
//! nothing else to do in between than to get ready for that. So a few instructions have to be understood, and none
//! of them depends on anything: those that move values, those that move the stack pointer, and jumps to a known
//! place. (Intel's *Software Developer's Manual*, volume 2, has the encoding.)

use core::ops::Range;

/// What is called next, as far as it shows where that returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// It is called: it returns to this address.
    To(usize),
    /// It is jumped to, and returns to where the caller would have: that address lies so many bytes above the stack
    /// pointer as it is at first.
    Above(usize),
    /// Nothing is called; or it cannot be told.
    Nowhere,
}

/// The most instructions that are looked at.
const LONGEST: usize = 32;

/// An instruction, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Nothing that matters.
    Something,
    /// Moves the stack pointer up.
    Moves(isize),
    /// Goes on elsewhere: so many bytes from its end.
    Jumps(isize),
    Calls,
    Leaves,
    Unknown,
}

/// Looks at what comes behind an address, as long as that is in the code that is given.
///
/// # Safety
///
/// The code can be read.
pub unsafe fn behind(address: usize, code: &Range<usize>) -> Return {
    let (mut at, mut above) = (address, 0_isize);
    for _ in 0..LONGEST {
        if !code.contains(&at) || !code.contains(&(at + 15)) {
            break;
        }
        // SAFETY: the caller's promise. No instruction is longer.
        let bytes: [u8; 15] = unsafe { core::ptr::with_exposed_provenance::<[u8; 15]>(at).read_unaligned() };
        let (length, does) = decode(&bytes);
        at += length;
        match does {
            Does::Something => {}
            Does::Moves(bytes) => above += bytes,
            Does::Jumps(distance) => at = at.wrapping_add_signed(distance),
            Does::Calls if above == 0 => return Return::To(at),
            Does::Leaves if above >= 0 => return Return::Above(above.unsigned_abs()),
            Does::Calls | Does::Leaves | Does::Unknown => return Return::Nowhere,
        }
    }
    Return::Nowhere
}

/// An instruction's length and what it does.
fn decode(bytes: &[u8; 15]) -> (usize, Does) {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut at = 0;
    // Sizes of operands, segments, repetition: none changes what matters here, but the length of a constant.
    let mut short = false;
    while matches!(byte(at), 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0xf2 | 0xf3) {
        short |= byte(at) == 0x66;
        at += 1;
    }
    let rex = if byte(at) & 0xf0 == 0x40 { byte(at) } else { 0 };
    at += usize::from(rex != 0);
    let opcode = byte(at);
    at += 1;
    let constant = if short { 2 } else { 4 };
    let number = |at: usize| {
        let four = [byte(at), byte(at + 1), byte(at + 2), byte(at + 3)];
        i32::from_le_bytes(four) as isize
    };
    // The byte that names operands, and how much belongs to it.
    let operands = byte(at);
    let (with_operands, register, digit) = (at + addressing(bytes, at), operands & 0xc7, operands >> 3 & 7);
    let is_stack_pointer = register == 0xc4 && rex & 1 == 0;
    let moves = |by: isize| match (digit, is_stack_pointer) {
        (0, true) => Does::Moves(by),
        (5, true) => Does::Moves(-by),
        _ => Does::Something,
    };
    match opcode {
        // Something with one constant byte, or four.
        0x04 | 0x0c | 0x24 | 0x2c | 0x34 | 0x3c | 0xa8 | 0xb0..=0xb7 => (at + 1, Does::Something),
        0x05 | 0x0d | 0x25 | 0x2d | 0x35 | 0x3d | 0xa9 => (at + constant, Does::Something),
        0xb8..=0xbf => (at + if rex & 8 != 0 { 8 } else { constant }, Does::Something),
        0x50..=0x57 => (at, Does::Moves(-8)),
        0x58..=0x5f => (at, Does::Moves(8)),
        0x90 => (at, Does::Something),
        // Arithmetic, comparisons and moves between registers and memory. One that goes to the stack pointer is not
        // understood.
        0x00..=0x03
        | 0x08..=0x0b
        | 0x20..=0x23
        | 0x28..=0x2b
        | 0x30..=0x33
        | 0x38..=0x3b
        | 0x63
        | 0x84..=0x8b
        | 0x8d
        | 0xd0..=0xd3 => {
            let writes_register =
                matches!(opcode, 0x02 | 0x03 | 0x0a | 0x0b | 0x22 | 0x23 | 0x2a | 0x2b | 0x32 | 0x33)
                    || matches!(opcode, 0x63 | 0x8a | 0x8b | 0x8d);
            let to_stack_pointer =
                if writes_register { digit == 4 && rex & 4 == 0 } else { is_stack_pointer && opcode != 0x85 };
            (with_operands, if to_stack_pointer { Does::Unknown } else { Does::Something })
        }
        0x80 | 0xc0 | 0xc1 | 0xc6 | 0x6b => (with_operands + 1, Does::Something),
        0x83 => (with_operands + 1, moves(isize::from(byte(with_operands) as i8))),
        0x81 => (with_operands + constant, moves(number(with_operands))),
        0x69 | 0xc7 => (with_operands + constant, Does::Something),
        0xf6 | 0xf7 if digit < 2 => {
            (with_operands + if opcode == 0xf6 { 1 } else { constant }, Does::Something)
        }
        0xf6 | 0xf7 | 0xfe => (with_operands, Does::Something),
        0xc3 => (at, Does::Leaves),
        0xeb => (at + 1, Does::Jumps(isize::from(byte(at) as i8))),
        0xe9 => (at + 4, Does::Jumps(number(at))),
        0xe8 => (at + 4, Does::Calls),
        0xff => match digit {
            2 => (with_operands, Does::Calls),
            4 => (with_operands, Does::Leaves),
            0 | 1 => (with_operands, Does::Something),
            _ => (with_operands, Does::Unknown),
        },
        0x0f => {
            let at = at + 1;
            match operands {
                // Empty instructions, marks for indirect jumps, conditional moves, extended moves, vector moves.
                0x10
                | 0x11
                | 0x1e
                | 0x1f
                | 0x28
                | 0x29
                | 0x40..=0x4f
                | 0x57
                | 0x6f
                | 0x7f
                | 0xb6
                | 0xb7
                | 0xbe
                | 0xbf
                | 0xd6
                | 0xef => (at + addressing(bytes, at), Does::Something),
                _ => (at, Does::Unknown),
            }
        }
        _ => (at, Does::Unknown),
    }
}

/// How long the description of an operand is that begins here.
fn addressing(bytes: &[u8; 15], at: usize) -> usize {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let (mode, base) = (byte(at) >> 6, byte(at) & 7);
    let has_index = mode != 3 && base == 4;
    let distance = match mode {
        0 if base == 5 || (has_index && byte(at + 1) & 7 == 5) => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    1 + usize::from(has_index) + distance
}
