//! Who dies when a count comes to zero, and in which order: step by step, without recursion.
#![forbid(unsafe_code)]

mod frame;

use alloc::vec::Vec;

use crate::count::{Count, CountError, Miscount};
use crate::heap::{Callback, Heap, Note};
use crate::rules::{Finalizers, Holds, Part, Rules, Trashcan};
use frame::{Calls, Frame, Notice, Phase};

/// What the driver is to do next. Whatever it runs may change the heap, and may decrement: see
/// [`Deaths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Death<I> {
    /// This object is about to die. Only told if the heap asks for it ([`Heap::announces`]).
    Begin(I),
    /// A reference was given up (who dies by that does so next), or a death inside of another one is over, or was
    /// deposited: something else may happen here before that goes on. Only told if the heap asks for it.
    Pause,
    /// Run the finalizer of this object, which counts one reference meanwhile; then say
    /// [`finished`](Deaths::finished).
    Finalize(I),
    /// Run the callback of this weak reference, which is cleared already; then say
    /// [`finished`](Deaths::finished).
    Callback(I),
    /// The object is gone: free its memory, or keep it for reuse. If a collector knows it, let that forget it first (with the
    /// crate `cycles`: `untrack` it): else a collection takes it for garbage, and it is told of here once more.
    Free(I),
}

/// The deaths that are going on: those that decrements have begun, the deaths inside them, and those
/// that the trashcan holds.
///
/// [`decrement`](Self::decrement) gives up a reference; if it was the last, a death begins, and the
/// driver calls [`next`](Self::next) and does what that says until it is `None`:
///
/// 1. the death is deposited in the trashcan, if that is the rule, and the rest happens later;
/// 2. the finalizer runs; if the count is above zero afterwards, the object lives on;
/// 3. its weak references are cleared, then their callbacks run, in the same order;
/// 4. the references that it owns are given up in order, and what dies by that dies *at once*, before
///    the next one is given up;
/// 5. it is freed.
///
/// (By [`Finalizers::AfterWeak`] the second comes after the third, for all objects or for those that say so.)
///
/// While a finalizer or a callback runs, the driver may do the same again: decrement, then `next` until
/// it is `None`, which says that all deaths begun *inside* of what runs are over. Deaths begin in `next`:
/// who decrements twice before calling it lets the second one die first.
///
/// A chain of any length dies without recursion: the deaths stand in a vector.
///
/// ```
/// use rc::{Death, Deaths, Heap, Rules};
///
/// /// Objects are numbers; each owns the references in its list, and gives up the last one first.
/// struct Lists(Vec<(u64, Vec<usize>)>);
///
/// impl Heap for Lists {
///     type Id = usize;
///     fn count(&self, o: usize) -> u64 { self.0[o].0 }
///     fn set_count(&mut self, o: usize, word: u64) { self.0[o].0 = word }
///     fn release_next(&mut self, o: usize) -> Option<usize> { self.0[o].1.pop() }
/// }
///
/// // 0 owns 1 and 2, both of which own 3.
/// let mut heap = Lists(vec![(1, vec![1, 2]), (1, vec![3]), (1, vec![3]), (2, vec![])]);
/// let mut deaths = Deaths::new(Rules::for_cpython(3, 11).unwrap());
/// deaths.decrement(&mut heap, 0).unwrap();
/// let mut order = Vec::new();
/// while let Some(Death::Free(o)) = deaths.next(&mut heap).unwrap() {
///     order.push(o);
/// }
/// assert_eq!(order, [2, 3, 1, 0]);
/// ```
#[derive(Debug)]
pub struct Deaths<I> {
    rules: Rules,
    /// Each inside of the one before.
    frames: Vec<Frame<I>>,
    /// Weak references whose callbacks run, of all deaths that are at that; one behind the other, as
    /// deaths are inside each other.
    notices: Vec<Notice<I>>,
    /// By death that is at that: where its notices begin, and the next to be called.
    calls: Vec<Calls>,
    /// The trashcan.
    deposited: Vec<I>,
    nesting: u64,
}

impl<I: Copy + Eq> Deaths<I> {
    /// Nobody dies.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            frames: Vec::new(),
            notices: Vec::new(),
            calls: Vec::new(),
            deposited: Vec::new(),
            nesting: 0,
        }
    }

    /// The rules that it was made with.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many deaths the trashcan holds.
    #[must_use]
    pub fn deposited(&self) -> usize {
        self.deposited.len()
    }

    /// Whether no death is going on (the trashcan may hold some).
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a finalizer or a callback runs and no death is going on inside of it: then [`next`](Self::next) says
    /// `None`.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.frames.last().is_some_and(|frame| matches!(frame.phase, Phase::Finalizing | Phase::Calling))
    }

    /// Whether the following [`next`](Self::next) takes up a death that the trashcan holds, if it holds any.
    #[must_use]
    pub fn is_taking_up(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.phase == Phase::Drain)
    }

    /// The object whose death begins or goes on with the following [`next`](Self::next); `None` if the innermost death is
    /// over, or there is none.
    #[must_use]
    pub fn current(&self) -> Option<I> {
        let is_over = |phase| matches!(phase, Phase::Leave | Phase::Drain | Phase::Decrement);
        self.frames.last().filter(|frame| !is_over(frame.phase)).map(|frame| frame.object)
    }

    /// One more reference.
    ///
    /// # Errors
    ///
    /// If it cannot be counted. The count is as before.
    #[inline]
    pub fn increment<H: Heap<Id = I>>(&self, heap: &mut H, object: I) -> Result<(), CountError<I>> {
        let old = heap.count(object);
        let new = self.rules.counting.increment(old).map_err(|what| CountError { object, what })?;
        if new != old {
            heap.set_count(object, new);
        }
        Ok(())
    }

    /// One reference less. Whether it was the last: then the death begins with the following
    /// [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// If there was none. The count is as before.
    #[inline]
    pub fn decrement<H: Heap<Id = I>>(&mut self, heap: &mut H, object: I) -> Result<bool, CountError<I>> {
        let old = heap.count(object);
        let new = self.rules.counting.decrement(old).map_err(|what| CountError { object, what })?;
        if new == old {
            return Ok(false);
        }
        heap.set_count(object, new);
        let dies = self.rules.counting.read(new) == Count::Mortal(0);
        if dies {
            self.push(object, Phase::Enter);
        }
        Ok(dies)
    }

    /// Takes up what the trashcan holds, if no death is going on that will. With
    /// [`Trashcan::Given`] some may be left when all deaths are over.
    pub fn drain(&mut self) {
        if let (true, Some(&object)) = (self.frames.is_empty(), self.deposited.last()) {
            self.nesting += 1;
            self.push(object, Phase::Drain);
        }
    }

    /// Goes on to the next thing that the driver has to do; `None` when all deaths are over, or all that
    /// were begun inside of the finalizer or callback that runs.
    ///
    /// # Errors
    ///
    /// If an object owned a reference that was not counted. That reference is ignored, and the
    /// following call goes on behind it.
    pub fn next<H: Heap<Id = I>>(&mut self, heap: &mut H) -> Result<Option<Death<I>>, CountError<I>> {
        while let Some(frame) = self.frames.last_mut() {
            let object = frame.object;
            match frame.phase {
                Phase::Enter | Phase::Resume => {
                    if let Some(object) = self.enter(heap) {
                        return Ok(Some(Death::Begin(object)));
                    }
                    // It was deposited.
                    if heap.announces() && !self.frames.is_empty() {
                        return Ok(Some(Death::Pause));
                    }
                }
                Phase::Announced => self.begin(heap),
                Phase::Finalizer => {
                    frame.phase = Phase::Finalizing;
                    if heap.take_finalizer(object) {
                        let one = self.rules.counting.with(heap.count(object), 1);
                        heap.set_count(object, one);
                        return Ok(Some(Death::Finalize(object)));
                    }
                    self.go_on(heap, false);
                }
                Phase::Late => {
                    frame.phase = Phase::Finalizing;
                    frame.is_late = true;
                    if heap.has_late_finalizer(object) {
                        let one = self.rules.counting.with(heap.count(object), 1);
                        heap.set_count(object, one);
                        return Ok(Some(Death::Finalize(object)));
                    }
                    self.begin_release(heap);
                }
                Phase::Finalizing | Phase::Calling => return Ok(None),
                Phase::Weak => self.detach(heap)?,
                Phase::Callbacks => {
                    if let Some(reference) = self.next_call() {
                        return Ok(Some(Death::Callback(reference)));
                    }
                }
                Phase::Called => self.give_up_notice(heap)?,
                Phase::Members if heap.clears_weak(object) => frame.phase = Phase::Weak,
                Phase::Members => match heap.release_next(object) {
                    Some(member) => {
                        self.decrement(heap, member)?;
                        if heap.announces() {
                            return Ok(Some(Death::Pause));
                        }
                    }
                    None => frame.phase = Phase::Free,
                },
                Phase::Free => {
                    frame.phase = Phase::Leave;
                    if let Some(last) = heap.release_last(object) {
                        self.push(last, Phase::Decrement);
                    }
                    return Ok(Some(Death::Free(object)));
                }
                Phase::Decrement => {
                    self.frames.pop();
                    self.decrement(heap, object)?;
                }
                Phase::Leave => {
                    self.leave(heap);
                    if heap.announces() && !self.frames.is_empty() {
                        return Ok(Some(Death::Pause));
                    }
                }
                Phase::Drain => match self.deposited.pop() {
                    Some(object) => self.push(object, Phase::Resume),
                    None => {
                        self.frames.pop();
                        self.nesting -= 1;
                        if heap.announces() && !self.frames.is_empty() {
                            return Ok(Some(Death::Pause));
                        }
                    }
                },
            }
        }
        Ok(None)
    }

    /// Says that the finalizer or the callback that [`next`](Self::next) had asked for has run, and that
    /// all deaths inside of it are over. Whether there was one: if not, nothing happens.
    ///
    /// # Errors
    ///
    /// If the finalizer gave up a reference that was not its own. The death goes on.
    pub fn finished<H: Heap<Id = I>>(&mut self, heap: &mut H) -> Result<bool, CountError<I>> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(false);
        };
        let object = frame.object;
        match frame.phase {
            Phase::Calling => frame.phase = Phase::Callbacks,
            Phase::Finalizing => {
                let word = heap.count(object);
                match self.rules.counting.decrement(word) {
                    Ok(left) if self.rules.counting.read(left) == Count::Mortal(0) => {
                        heap.set_count(object, left);
                        self.go_on(heap, true);
                    }
                    Ok(left) => {
                        frame.phase = Phase::Leave;
                        heap.set_count(object, left);
                        heap.note(Note::Resurrect(object));
                    }
                    Err(what) => {
                        self.go_on(heap, true);
                        return Err(CountError { object, what });
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push(&mut self, object: I, phase: Phase) {
        self.frames.push(Frame { object, phase, part: Part::None, is_late: false });
    }

    /// Begins the death on top, or deposits it; or answers whose death the driver is to be told of before.
    fn enter<H: Heap<Id = I>>(&mut self, heap: &mut H) -> Option<I> {
        let &Frame { object, phase, .. } = self.frames.last()?;
        let part = heap.part(object);
        if part != Part::None {
            // Never what was just taken up: a limit of 0 would deposit it for ever.
            let deposits = phase == Phase::Enter
                && match self.rules.trashcan {
                    Trashcan::Never => false,
                    Trashcan::Nesting { limit, .. } => self.nesting + self.extra(part) >= u64::from(limit),
                    Trashcan::Given => heap.deposits(object),
                };
            if deposits {
                self.frames.pop();
                self.deposited.push(object);
                heap.note(Note::Deposit(object));
                // Nobody else is there to take it up.
                if self.frames.is_empty() && matches!(self.rules.trashcan, Trashcan::Nesting { .. }) {
                    self.drain();
                }
                return None;
            }
            self.nesting += 1;
        }
        let frame = self.frames.last_mut()?;
        frame.part = part;
        if heap.announces() {
            frame.phase = Phase::Announced;
            return Some(object);
        }
        self.begin(heap);
        None
    }

    /// The death on top begins.
    fn begin<H: Heap<Id = I>>(&mut self, heap: &mut H) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.phase = match heap.finalizers(frame.object).unwrap_or(self.rules.finalizers) {
            Finalizers::First => Phase::Finalizer,
            Finalizers::AfterWeak => Phase::Weak,
        };
        heap.note(Note::Begin(frame.object));
    }

    /// By how much the nesting is higher where an object's death begins and ends.
    fn extra(&self, part: Part) -> u64 {
        match self.rules.trashcan {
            Trashcan::Nesting { instance, .. } if part == Part::Instance => u64::from(instance),
            _ => 0,
        }
    }

    /// What follows the finalizer of the death on top, if there was one.
    fn go_on<H: Heap<Id = I>>(&mut self, heap: &mut H, ran: bool) {
        if self.finalizers(heap) == Finalizers::First {
            self.set_phase(Phase::Weak);
            return;
        }
        if let Some(frame) = self.frames.last().filter(|_| ran) {
            let object = frame.object;
            let begin = self.notices.len();
            while let Some(made) = heap.detach_weak(object) {
                if let Callback::Owned(callback) = made.callback {
                    self.notices.push(Notice {
                        reference: made.reference,
                        held: false,
                        calls: false,
                        callback: Some(callback),
                    });
                }
            }
            if self.notices.len() > begin {
                // Their callbacks are given up, but not called.
                self.calls.push(Calls { begin, next: usize::MAX });
                self.set_phase(Phase::Called);
                return;
            }
        }
        self.begin_release(heap);
    }

    /// When the finalizer of the death on top runs.
    fn finalizers<H: Heap<Id = I>>(&self, heap: &H) -> Finalizers {
        match self.frames.last() {
            Some(frame) if frame.is_late => Finalizers::AfterWeak,
            Some(frame) => heap.finalizers(frame.object).unwrap_or(self.rules.finalizers),
            None => self.rules.finalizers,
        }
    }

    fn begin_release<H: Heap<Id = I>>(&mut self, heap: &mut H) {
        if let Some(frame) = self.frames.last_mut() {
            frame.phase = Phase::Members;
            heap.note(Note::Release(frame.object));
        }
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Some(frame) = self.frames.last_mut() {
            frame.phase = phase;
        }
    }

    /// Clears the weak references of the death on top.
    fn detach<H: Heap<Id = I>>(&mut self, heap: &mut H) -> Result<(), CountError<I>> {
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        let object = frame.object;
        let begin = self.notices.len();
        while let Some(made) = heap.detach_weak(object) {
            let callback = match made.callback {
                Callback::None => continue,
                Callback::Foreign => None,
                Callback::Owned(callback) => Some(callback),
            };
            // One that is dying itself is not called.
            let calls = self.rules.counting.read(heap.count(made.reference)) != Count::Mortal(0);
            self.notices.push(Notice { reference: made.reference, held: false, calls, callback });
        }
        if self.notices.len() == begin {
            self.after_weak(heap);
            return Ok(());
        }
        self.calls.push(Calls { begin, next: begin });
        self.set_phase(Phase::Callbacks);
        let holds = match self.rules.holds {
            Holds::None => false,
            Holds::Several => self.notices.len() - begin > 1,
            Holds::All => true,
        };
        if holds {
            for at in begin..self.notices.len() {
                let Notice { reference, calls, .. } = self.notices[at];
                if calls {
                    self.increment(heap, reference)?;
                    self.notices[at].held = true;
                }
            }
        }
        Ok(())
    }

    /// What follows the weak references of the death on top.
    fn after_weak<H: Heap<Id = I>>(&mut self, heap: &mut H) {
        match self.finalizers(heap) {
            // They were cleared in the middle of the members.
            _ if self.frames.last().is_some_and(|frame| frame.is_late) => self.begin_release(heap),
            Finalizers::First => self.set_phase(Phase::Late),
            Finalizers::AfterWeak => self.set_phase(Phase::Finalizer),
        }
    }

    /// The weak reference that is called next; when there is none the phase is over.
    fn next_call(&mut self) -> Option<I> {
        let calls = self.calls.last_mut()?;
        while let Some(notice) = self.notices.get(calls.next) {
            calls.next += 1;
            if notice.calls {
                let reference = notice.reference;
                self.set_phase(Phase::Calling);
                return Some(reference);
            }
        }
        self.set_phase(Phase::Called);
        None
    }

    /// Gives up one of the references held for callbacks, last to first.
    fn give_up_notice<H: Heap<Id = I>>(&mut self, heap: &mut H) -> Result<(), CountError<I>> {
        let begin = self.calls.last().map_or(self.notices.len(), |calls| calls.begin);
        if self.notices.len() > begin
            && let Some(last) = self.notices.last_mut()
        {
            if let Some(callback) = last.callback.take() {
                self.decrement(heap, callback)?;
            } else if core::mem::take(&mut last.held) {
                let reference = last.reference;
                self.decrement(heap, reference)?;
            } else {
                self.notices.pop();
            }
            return Ok(());
        }
        // Those that a late finalizer made were marked as called from the start.
        let late = self.calls.pop().is_some_and(|calls| calls.next == usize::MAX);
        if late {
            self.begin_release(heap);
        } else {
            self.after_weak(heap);
        }
        Ok(())
    }

    /// Ends the death on top, and takes up deposited ones if that is the rule.
    fn leave<H: Heap<Id = I>>(&mut self, heap: &mut H) {
        let Some(Frame { object, part, .. }) = self.frames.pop() else {
            return;
        };
        if part == Part::None {
            return;
        }
        self.nesting -= 1;
        // One that was taken up out of the trashcan is followed by the next one anyway, unless that is inside of it.
        let draining = self.frames.last().is_some_and(|frame| frame.phase == Phase::Drain)
            && self.rules.trashcan != Trashcan::Given;
        if self.deposited.is_empty() || draining {
            return;
        }
        let drains = match self.rules.trashcan {
            Trashcan::Never => false,
            Trashcan::Nesting { .. } => self.nesting + self.extra(part) == 0,
            Trashcan::Given => heap.drains(),
        };
        if drains {
            self.nesting += 1;
            self.push(object, Phase::Drain);
        }
    }
}

impl<I> CountError<I> {
    /// Whether a reference was given up that was not there.
    #[must_use]
    pub fn is_underflow(&self) -> bool {
        self.what == Miscount::Underflow
    }
}
