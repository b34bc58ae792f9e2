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
