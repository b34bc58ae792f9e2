//! Mapping what the reader shares: the board, and the ring that it offers.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

use super::board::{self, BOARD_BYTES, Board};
use super::header::{self, HEADER_BYTES, Header};
use super::{reader, sys};

/// How long a process waits for a ring before it looks after the reader, in milliseconds.
const PATIENCE: i64 = 50;

/// The ring's file in memory, mapped for good.
pub struct Ring {
    pub header: *mut Header,
    pub slots: *mut AtomicU64,
    pub capacity: usize,
}

impl Ring {
    pub fn header(&self) -> &Header {
        // SAFETY: mapped by `open` and unmapped only when nobody has a pointer to it; all fields are atomic.
        unsafe { &*self.header }
    }

    /// Takes the ring for this process, if none has it.
    fn claim(&self) -> bool {
        let pid = number_in_proc().unwrap_or_else(|| {
            // SAFETY: no preconditions.
            let own = unsafe { sys::getpid() };
            own.cast_unsigned() | header::CLAIM_UNCERTAIN
        });
        self.header().claim.compare_exchange(0, pid, SeqCst, Relaxed).is_ok()
    }

    pub fn refuse(&self, reason: u32) {
        self.header().reason.store(reason, Relaxed);
        self.header().state.store(header::STATE_REFUSED, Release);
    }
}

/// Maps the board. No descriptor stays open.
pub fn open_board(path: &CStr) -> Option<&'static Board> {
    let fd = open_file(path)?;
    let is_board = begins_with(fd, board::MAGIC, &mut [0; 16]) && holds(fd, BOARD_BYTES);
    let board = if is_board { map(fd, BOARD_BYTES) } else { None };
    // SAFETY: the descriptor is ours and not used afterwards.
    unsafe { sys::close(fd) };
    // SAFETY: mapped just now, for good, with room for a board; all fields are atomic.
    board.map(|board| unsafe { &*board.cast::<Board>() })
}

/// Takes the ring that is offered, or waits for the next. None if nobody is recorded any more, or this process cannot be.
pub fn take(board: &Board) -> Option<Ring> {
    while board.closed.load(Acquire) == 0 {
        let number = board.offered.load(Acquire);
        let mut path = [0; reader::PATH_BYTES];
        let opened = open(reader::sibling(board.descriptor.load(Relaxed), &mut path)?);
        if let Some(ring) = &opened {
            if ring.header().number.load(Relaxed) == number && ring.claim() {
                board.bell.fetch_add(1, SeqCst);
                sys::futex_wake(&board.bell);
                return opened;
            }
            // SAFETY: nobody has a pointer to it but `ring`, which is not used any more.
            unsafe { unmap(ring.header, ring.capacity) };
        }
        if board.offered.load(Acquire) == number {
            // Taken; or else it cannot be opened from here, which waiting would not change.
            opened?;
            if board.is_last.load(Acquire) != 0 {
                return None;
            }
            sys::futex_wait(&board.offered, number, PATIENCE);
            if board.offered.load(Acquire) == number && !reader::is_alive(board.reader.load(Relaxed)) {
                return None;
            }
        }
    }
    None
}

/// Counts an interpreter that is not recorded.
pub fn pass_by(board: &Board) {
    if board.closed.load(Relaxed) == 0 {
        board.unrecorded.fetch_add(1, Relaxed);
    }
}

/// Unmaps a ring.
///
/// # Safety
///
/// It was mapped by [`open`], with this capacity, and nobody uses it any more.
pub unsafe fn unmap(header: *mut Header, capacity: usize) {
    // SAFETY: the caller's promise.
    unsafe { sys::munmap(header.cast(), file_size(capacity)) };
}

/// The number of this process in the namespace that `/proc` belongs to. The ring is found through `/proc`, under the
/// reader's number there, so the reader understands this one also if this process has a namespace of its own.
fn number_in_proc() -> Option<u32> {
    // More digits than any process id has.
    let mut digits = [0u8; 16];
    // SAFETY: the path is a terminated string and the room is what `digits` has.
    let length = unsafe { sys::readlink(c"/proc/self".as_ptr(), digits.as_mut_ptr().cast(), digits.len()) };
    let digits = digits.get(..usize::try_from(length).ok()?)?;
    let number = core::str::from_utf8(digits).ok()?.parse().ok()?;
    (1..header::CLAIM_UNCERTAIN).contains(&number).then_some(number)
}

fn open_file(path: &CStr) -> Option<c_int> {
    // SAFETY: the path is a terminated string.
    let fd = unsafe { sys::open(path.as_ptr(), sys::O_RDWR | sys::O_CLOEXEC) };
    (fd >= 0).then_some(fd)
}

/// Maps the ring whole and touches every page of it now, not in the program's time. No descriptor stays open.
pub fn open(path: &CStr) -> Option<Ring> {
    let fd = open_file(path)?;
    let ring = capacity(fd).and_then(|capacity| {
        let header = map(fd, file_size(capacity))?.cast::<Header>();
        // SAFETY: the offset is inside of the mapping.
        let slots = unsafe { header.byte_add(HEADER_BYTES) };
        Some(Ring { header, slots: slots.cast(), capacity })
    });
    // SAFETY: the descriptor is ours and not used afterwards.
    unsafe { sys::close(fd) };
    ring
}

fn map(fd: c_int, bytes: usize) -> Option<*mut c_void> {
    let protection = sys::PROT_READ | sys::PROT_WRITE;
    let flags = sys::MAP_SHARED | sys::MAP_POPULATE;
    // SAFETY: a new mapping at a place of the kernel's choice.
    let whole = unsafe { sys::mmap(null_mut(), bytes, protection, flags, fd, 0) };
    // MAP_FAILED is the address −1.
    (whole.addr() != usize::MAX).then_some(whole)
}

/// How many slots the ring in this file has; none if it is not a ring of this layout, or does not have, now and for
/// ever, all the bytes that it should.
fn capacity(fd: c_int) -> Option<usize> {
    let mut start = [0; 16];
    let is_ring = begins_with(fd, header::MAGIC, &mut start);
    let log2 = u32::from_ne_bytes(*start.last_chunk()?);
    if !is_ring || !(3..=40).contains(&log2) {
        return None;
    }
    let capacity = 1 << log2;
    holds(fd, file_size(capacity)).then_some(capacity)
}

/// Reads the first bytes of a file into `start`: are they what this library shares with its reader?
fn begins_with(fd: c_int, magic: u64, start: &mut [u8; 16]) -> bool {
    // SAFETY: the room is what `start` has.
    let read = unsafe { sys::pread(fd, start.as_mut_ptr().cast(), start.len(), 0) };
    usize::try_from(read) == Ok(start.len())
        && start[..8] == magic.to_ne_bytes()
        && start[8..12] == header::LAYOUT.to_ne_bytes()
}

/// Has the file that many bytes, now and for ever? Mapped memory behind the end of a file is a trap.
fn holds(fd: c_int, bytes: usize) -> bool {
    // SAFETY: both calls take numbers only. (`fstat` is no symbol of glibc before 2.33.)
    let (seals, size) = unsafe { (sys::fcntl(fd, sys::F_GET_SEALS), sys::lseek(fd, 0, sys::SEEK_END)) };
    // Either is −1 if it failed, as seals do in files that cannot have any.
    let is_sealed = seals >= 0 && seals & sys::F_SEAL_SHRINK != 0;
    is_sealed && usize::try_from(size).is_ok_and(|size| size >= bytes)
}

/// Bytes of a file with room for the header and this many slots, at most 2^40.
const fn file_size(capacity: usize) -> usize {
    HEADER_BYTES + capacity * size_of::<AtomicU64>()
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Header, slots_log2) == 12 && offset_of!(Header, layout) == 8);
    assert!(offset_of!(Board, layout) == 8);
    assert!(size_of::<AtomicU32>() == 4);
};
