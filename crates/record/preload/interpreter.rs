//! The interpreter's own functions that are needed in every version.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

use super::hooks::Once;
use super::sys;

type Ask = unsafe extern "C" fn() -> c_int;
type Of = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type NumberOf = unsafe extern "C" fn(*mut c_void) -> i64;

/// Documented functions, found by their names.
#[derive(Clone, Copy)]
pub struct Interpreter {
    /// `Py_GetVersion`.
    version: unsafe extern "C" fn() -> *const c_char,
    is_initialized: Option<Ask>,
    /// `PyGILState_Check`: does this thread hold the interpreter's lock?
    holds_lock: Option<Ask>,
    /// `PyInterpreterState_Head`: the first interpreter.
    first: Option<unsafe extern "C" fn() -> *mut c_void>,
    /// `PyInterpreterState_Next`: the one after it.
    next: Option<Of>,
    /// `PyThreadState_GetUnchecked`: the state of the thread that runs.
    thread: Option<unsafe extern "C" fn() -> *mut c_void>,
    /// `PyThreadState_GetInterpreter`: the interpreter that a thread's state is of.
    of_thread: Option<Of>,
    /// `PyInterpreterState_GetID`: the number of an interpreter.
    number: Option<NumberOf>,
}

static INTERPRETER: Once<Interpreter> = Once::new();

/// The interpreter that is recorded; none before that begins.
pub fn recorded() -> Option<&'static Interpreter> {
    INTERPRETER.get()
}

/// Where a name leads in this process; null if nowhere.
pub fn find(name: &CStr) -> *mut c_void {
    // RTLD_DEFAULT is the null handle.
    // SAFETY: the name is a terminated string; `dlsym` may be called at any time.
    unsafe { sys::dlsym(null_mut(), name.as_ptr()) }
}

impl Interpreter {
    /// The one in this process, if there is one.
    pub fn look_up() -> Option<Self> {
        let version = find(c"Py_GetVersion");
        if version.is_null() {
            return None;
        }
        let is_initialized = find(c"Py_IsInitialized");
        let holds_lock = find(c"PyGILState_Check");
        let first = find(c"PyInterpreterState_Head");
        let next = find(c"PyInterpreterState_Next");
        let [thread, before_3_13] = [c"PyThreadState_GetUnchecked", c"_PyThreadState_UncheckedGet"].map(find);
        let thread = if thread.is_null() { before_3_13 } else { thread };
        let of_thread = find(c"PyThreadState_GetInterpreter");
        let number = find(c"PyInterpreterState_GetID");
        // SAFETY: the first is not null, and the functions of these names have these types in every version. A null
        // pointer is `None` where the type is an option.
        unsafe {
            Some(Self {
                version: core::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(
                    version,
                ),
                is_initialized: core::mem::transmute::<*mut c_void, Option<Ask>>(is_initialized),
                holds_lock: core::mem::transmute::<*mut c_void, Option<Ask>>(holds_lock),
                first: core::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn() -> *mut c_void>>(
                    first,
                ),
                next: core::mem::transmute::<*mut c_void, Option<Of>>(next),
                thread: core::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn() -> *mut c_void>>(
                    thread,
                ),
                of_thread: core::mem::transmute::<*mut c_void, Option<Of>>(of_thread),
                number: core::mem::transmute::<*mut c_void, Option<NumberOf>>(number),
            })
        }
    }

    /// Makes it the one that is [`recorded`].
    ///
    /// # Safety
    ///
    /// Called once, before anything asks for it.
    pub unsafe fn remember(&self) {
        // SAFETY: the caller's promise.
        unsafe { INTERPRETER.set(*self) };
    }

    /// What it says of its version.
    pub fn version(&self) -> &'static CStr {
        // SAFETY: the function allocates nothing and returns a string that stays.
        unsafe { CStr::from_ptr((self.version)()) }
    }

    /// An address in the module that contains it.
    pub fn address(&self) -> *const c_void {
        self.version as *const c_void
    }

    /// Is it initialised?
    pub fn is_initialized(&self) -> bool {
        // SAFETY: the function takes nothing, allocates nothing and may be called at any time.
        self.is_initialized.is_some_and(|is_initialized| unsafe { is_initialized() } != 0)
    }

    /// Does the calling thread hold its lock? Taken to be so where it cannot be asked.
    pub fn holds_lock(&self) -> bool {
        // SAFETY: the function takes nothing and may be called by any thread.
        self.holds_lock.is_none_or(|holds_lock| unsafe { holds_lock() } != 0)
    }

    /// The first interpreter, once it is there: of several, the one that was made last.
    #[inline(always)]
    pub fn first(&self) -> Option<*mut c_void> {
        // SAFETY: the function takes nothing, and may be called at any time.
        self.first.map(|first| unsafe { first() }).filter(|interpreter| !interpreter.is_null())
    }

    /// Has the process more than one interpreter?
    ///
    /// # Safety
    ///
    /// The interpreter's lock is held.
    pub unsafe fn is_one_of_several(&self) -> bool {
        let (Some(first), Some(next)) = (self.first, self.next) else { return false };
        // SAFETY: the functions only follow the list of interpreters; `next` gets one of them.
        unsafe {
            let one = first();
            !one.is_null() && !next(one).is_null()
        }
    }

    /// Is an interpreter among those that are there? Taken to be so where that cannot be asked.
    ///
    /// # Safety
    ///
    /// The interpreter's lock is held.
    pub unsafe fn is_there(&self, of: *mut c_void) -> bool {
        let Some(next) = self.next else { return true };
        // SAFETY: the function only follows the list of interpreters, and gets one of them.
        let following = |one: &*mut c_void| Some(unsafe { next(*one) }).filter(|next| !next.is_null());
        core::iter::successors(self.first(), following).any(|one| one == of)
    }

    /// The one that runs; none where that cannot be asked, and before CPython 3.9.
    ///
    /// # Safety
    ///
    /// The interpreter's lock is held.
    pub unsafe fn running(&self) -> Option<*mut c_void> {
        let (thread, of_thread) = (self.thread?, self.of_thread?);
        // SAFETY: the first function only reads which thread runs, the second of which interpreter that is.
        unsafe {
            let thread = thread();
            (!thread.is_null()).then(|| of_thread(thread))
        }
    }

    /// Its number, which no other interpreter of the process has, or had; the first one's is 0.
    ///
    /// # Safety
    ///
    /// As for [`running`](Self::running).
    pub unsafe fn running_number(&self) -> Option<u64> {
        // SAFETY: the caller's promise; the function only reads what the interpreter has, which is there.
        let number = unsafe { (self.number?)(self.running()?) };
        u64::try_from(number).ok()
    }
}
