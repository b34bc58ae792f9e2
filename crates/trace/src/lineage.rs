//! A trace with the past that it was forked from.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};

use crate::error::Error;
use crate::header::{Header, Parent, Trailer};
use crate::read::{Frame, Reader};

/// No process has more ancestors: a bound on how many files a hostile trace has opened.
const MAX_GENERATIONS: usize = 64;

/// Reads a trace behind the parts of its ancestors' traces that are its past, as if they were one trace.
///
/// A trace that was not forked has no past: then this is a [`Reader`].
pub struct Lineage<R> {
    /// The oldest first.
    past: VecDeque<Ancestor<R>>,
    own: Reader<R>,
    in_past: bool,
}

/// An ancestor's trace, up to the fork.
struct Ancestor<R> {
    reader: Reader<R>,
    fork: Parent,
}

impl Lineage<BufReader<File>> {
    /// Opens a trace file, and those of its ancestors in the same folder.
    ///
    /// # Errors
    /// As for [`Lineage::new`], or if the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let own = Reader::new(BufReader::new(File::open(path)?))?;
        Self::new(own, |name| Ok(BufReader::new(File::open(path.with_file_name(name))?)))
    }
}

impl<R: Read> Lineage<R> {
    /// A trace and its past: `open` is given the names of the ancestors' traces.
    ///
    /// # Errors
    /// [`Error::Past`] if an ancestor's trace cannot be opened, or is not one that this was forked from.
    pub fn new(own: Reader<R>, mut open: impl FnMut(&str) -> io::Result<R>) -> Result<Self, Error> {
        let mut past: VecDeque<Ancestor<R>> = VecDeque::new();
        let mut youngest = own.header().parent.clone();
        while let Some(fork) = youngest {
            let failed = |why: String| Error::Past { trace: fork.trace.clone(), why };
            // A name, not a way to somewhere else.
            let mut parts = Path::new(&fork.trace).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(failed("that is not the name of a file in this folder".to_owned()));
            }
            if past.len() == MAX_GENERATIONS {
                return Err(failed(format!("no process has more than {MAX_GENERATIONS} ancestors")));
            }
            let source = open(&fork.trace).map_err(|error| failed(error.to_string()))?;
            let reader = Reader::new(source).map_err(|error| failed(error.to_string()))?;
            if reader.header().allocator != own.header().allocator {
                return Err(failed("it has another allocator".to_owned()));
            }
            youngest = reader.header().parent.clone();
            past.push_front(Ancestor { reader, fork });
        }
        Ok(Self { past, own, in_past: false })
    }

    /// The trace's own header.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.own.header()
    }

    /// The trace's own trailer, once [`Lineage::read`] has answered that there is no further frame.
    #[must_use]
    pub fn trailer(&self) -> Option<&Trailer> {
        self.own.trailer()
    }

    /// Bytes read of the trace itself.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.own.bytes_read()
    }

    /// Whether the frame that was read last is of the past. (Its number is then that in the ancestor's trace.)
    #[must_use]
    pub fn in_past(&self) -> bool {
        self.in_past
    }

    /// Reads the next frame of events: see [`Reader::read`].
    ///
    /// # Errors
    /// As for [`Reader::read`], and [`Error::Past`] if the past is not what the trace says it was.
    pub fn read(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        while let Some(ancestor) = self.past.front_mut() {
            let failed = |why: String| Error::Past { trace: ancestor.fork.trace.clone(), why };
            let (frames, digest) = ancestor.reader.frames_read();
            if frames < ancestor.fork.frames {
                if ancestor.reader.read(frame).map_err(|error| failed(error.to_string()))? {
                    self.in_past = true;
                    return Ok(true);
                }
                return Err(failed("it ends before the fork".to_owned()));
            }
            if (frames, digest, ancestor.reader.position())
                != (ancestor.fork.frames, ancestor.fork.digest, ancestor.fork.totals())
            {
                return Err(failed(
                    "up to the fork, it is not the trace that this one was forked from".to_owned(),
                ));
            }
            self.past.pop_front();
        }
        self.in_past = false;
        self.own.read(frame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Allocator, Answer, BlockTable, Domain, EmptyArenas, Ending, LiveBlock, Malformed, Resolver, Writer,
    };

    fn header() -> Header {
        let allocator = Allocator {
            alignment: 16,
            small_limit: 512,
            pool_size: 16 << 10,
            arena_size: 1 << 20,
            empty_arenas: EmptyArenas::KeepLast,
        };
        Header::new("test", "3.13.0", allocator)
    }

    /// What a program does: allocates at some place, or releases the n-th of its live blocks.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Allocate(u64),
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![(0_u64..5000).prop_map(Step::Allocate), any::<usize>().prop_map(Step::Release)]
    }

    fn play(
        writer: &mut Writer<&mut Vec<u8>>,
        live: &mut Vec<(LiveBlock, u64)>,
        steps: &[Step],
        seen: &mut Vec<u64>,
    ) {
        for &step in steps {
            match step {
                Step::Allocate(place) => {
                    let address = 0x7f00_0000_0000 + place * 16;
                    let block = writer.allocate(Domain::Obj, 24, false, Answer::At(address)).unwrap();
                    live.extend(block.map(|block| (block, address)));
                    seen.push(address);
                }
                Step::Release(_) if live.is_empty() => {}
                Step::Release(which) => {
                    let (block, address) = live.swap_remove(which % live.len());
                    writer.release(block, address, Domain::Obj).unwrap();
                }
            }
        }
    }

    #[test]
    fn without_its_past_a_trace_is_not_resolved() {
        let header = header();
        let (mut parent, mut child) = (Vec::new(), Vec::new());
        let mut writer = Writer::new(&mut parent, &header).unwrap();
        let mut live = Vec::new();
        play(&mut writer, &mut live, &[Step::Allocate(1), Step::Allocate(2)], &mut Vec::new());
        let branch = writer.branch().unwrap();
        let mut writer = Writer::resume(&mut child, &header, branch, "parent".to_owned()).unwrap();
        play(&mut writer, &mut live, &[Step::Allocate(3)], &mut Vec::new());
        writer.finish(Ending::Unknown, 0).unwrap();
        let (mut reader, mut frame) = (Reader::new(&child[..]).unwrap(), Frame::default());
        assert!(reader.read(&mut frame).unwrap());
        let resolved =
            Resolver::new(&header.allocator).resolve(&frame, &mut BlockTable::new(), &mut Vec::new());
        let what = Malformed::PastNotRead { events: 2 };
        assert!(matches!(resolved, Err(Error::Malformed { event: None, what: found, .. }) if found == what));
    }

    proptest! {
        /// A trace of a trace of a trace reads like one.
        #[test]
        fn generations_read_like_one_trace(generations in prop::collection::vec(prop::collection::vec(step(), 0..300), 1..4)) {
            let header = header();
            let mut files: Vec<Vec<u8>> = Vec::new();
            let (mut live, mut seen) = (Vec::new(), Vec::new());
            let mut branch = None;
            for (generation, steps) in generations.iter().enumerate() {
                let mut file = Vec::new();
                let mut writer = match branch.take() {
                    None => Writer::new(&mut file, &header).unwrap(),
                    Some(branch) => {
                        Writer::resume(&mut file, &header, branch, (generation - 1).to_string()).unwrap()
                    }
                };
                play(&mut writer, &mut live, steps, &mut seen);
                branch = Some(writer.branch().unwrap());
                // What the parent does afterwards is not the child's past.
                play(&mut writer, &mut live.clone(), steps, &mut Vec::new());
                writer.finish(Ending::Unknown, 0).unwrap();
                files.push(file);
            }
            let open = |name: &str| Ok(&files[name.parse::<usize>().unwrap()][..]);
            let own = Reader::new(&files.last().unwrap()[..]).unwrap();
            let mut trace = Lineage::new(own, open).unwrap();
            let (mut resolver, mut places) = (Resolver::new(&header.allocator), BlockTable::new());
            let (mut frame, mut read) = (Frame::default(), Vec::new());
            let mut next = 0;
            while trace.read(&mut frame).unwrap() {
                prop_assert_eq!(frame.first_event, next);
                next += frame.inputs.len() as u64;
                resolver.resolve(&frame, &mut places, &mut read).unwrap();
            }
            prop_assert_eq!(&read[..seen.len()], &seen[..]);
        }
    }
}
