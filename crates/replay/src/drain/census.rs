//! Who is alive, by address: what both ways of recording objects need to turn addresses into numbers.

use std::io::Write;

use hashbrown::HashMap;
use record::ObjectEvent;
use trace::{Begins, Block, Death, Object, TypeInfo, TypeNumber, Writer};

use super::addresses::Addresses;
use crate::kinds::{Kind, minor_version};

/// How far behind the beginning of its block an object may lie, in bytes: behind the collector's header, and what some
/// types have in front of that.
const OFFSETS: [u64; 3] = [0, 16, 32];

#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub(super) number: TypeNumber,
    pub(super) kind: Kind,
    /// Whether it was born: one of the interpreter's own is no object of the trace.
    pub(super) is_object: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub(super) object: Object,
    /// The address of its type.
    pub(super) of: u64,
    pub(super) block: Option<Block>,
}

/// A type that is being described.
#[derive(Clone, Debug)]
struct Description {
    address: u64,
    flags: u64,
    /// Its own, and that of its family, as far as they are known.
    names: [Vec<u8>; 2],
    is_named: bool,
}

/// Who is alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Census {
    pub(super) types: HashMap<u64, Type>,
    pub(super) live: HashMap<u64, Live>,
    pub(super) strangers: HashMap<u64, Object>,
    describing: Option<Description>,
    version: (u32, u32),
}

impl Census {
    /// Of an interpreter of this version.
    pub(super) fn new(version: &str) -> Self {
        Self { version: minor_version(version).unwrap_or_default(), ..Self::default() }
    }

    /// Takes an event if it describes a type. The type, when that is complete and the type was not known: it is then to
    /// be [added](Self::add).
    pub(super) fn describe(&mut self, event: ObjectEvent) -> Option<(u64, TypeInfo)> {
        match event {
            ObjectEvent::Type(address) => {
                let names = [Vec::new(), Vec::new()];
                self.describing = Some(Description { address, flags: 0, names, is_named: false });
            }
            ObjectEvent::TypeFlags(flags) => {
                if let Some(describing) = &mut self.describing {
                    describing.flags = flags;
                }
            }
            ObjectEvent::TypeName(piece) => return self.name(piece),
            _ => {}
        }
        None
    }

    fn name(&mut self, piece: [u8; 6]) -> Option<(u64, TypeInfo)> {
        let describing = self.describing.as_mut()?;
        let end = piece.iter().position(|byte| *byte == 0);
        describing.names[usize::from(describing.is_named)]
            .extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        end?;
        if !std::mem::replace(&mut describing.is_named, true) {
            return None;
        }
        let Description { address, flags, names, .. } = self.describing.take()?;
        // Told again because the recorder forgot it.
        if self.types.contains_key(&address) {
            return None;
        }
        let [name, family] = names.map(|name| String::from_utf8_lossy(&name).into_owned());
        let [finalizes, weakly_referable, class, foreign, finalizes_late] =
            [32, 33, 34, 35, 36].map(|bit| flags >> bit & 1 != 0);
        let object = self.live.get(&address).map(|live| live.object);
        let flags = u32::try_from(flags & u64::from(u32::MAX)).unwrap_or_default();
        Some((
            address,
            TypeInfo {
                name,
                flags,
                finalizes,
                weakly_referable,
                class,
                foreign,
                finalizes_late,
                family,
                object,
            },
        ))
    }

    /// Adds a type that was not known.
    pub(super) fn add<W: Write>(
        &mut self,
        address: u64,
        info: &TypeInfo,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let number = writer.described(info)?;
        let (kind, is_object) = (Kind::of(info, self.version), info.object.is_some());
        self.types.insert(address, Type { number, kind, is_object });
        Ok(())
    }

    pub(super) fn kind_of(&self, of: u64) -> Kind {
        self.types.get(&of).map_or(Kind::UNKNOWN, |of| of.kind)
    }

    /// The block in which an object at this address lies, and how far behind its beginning.
    pub(super) fn block_at(address: u64, addresses: &Addresses) -> Option<(Block, u64)> {
        let at =
            |offset: &u64| addresses.get(address.checked_sub(*offset)?).map(|live| (live.block(), *offset));
        OFFSETS.iter().find_map(at)
    }

    /// The address of the object that lives in this block, which begins at an address.
    pub(super) fn in_block(&self, block: Block, address: u64) -> Option<u64> {
        let is_it = |address: &u64| self.live.get(address).is_some_and(|live| live.block == Some(block));
        OFFSETS.map(|offset| address.wrapping_add(offset)).into_iter().find(is_it)
    }

    /// An object is born at an address; `found` says in which block, and `kept` how many items it has if that was kept for
    /// it. Nothing if its type is not known.
    pub(super) fn born<W: Write>(
        &mut self,
        address: u64,
        of: u64,
        found: Option<(Block, u64)>,
        kept: Option<u64>,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let Some(kind) = self.types.get(&of) else { return Ok(()) };
        let begins = match found {
            None => Begins::Elsewhere,
            Some(_) if let Some(items) = kept => Begins::Kept(items),
            Some((block, offset)) => Begins::InBlock(block, u32::try_from(offset).unwrap_or_default()),
        };
        let object = writer.born(kind.number, begins)?;
        if let (Some((block, _)), Some(_)) = (found, kept) {
            writer.observed(Death::Reuses(object, block));
        }
        self.strangers.remove(&address);
        let block = found.map(|(block, _)| block);
        self.live.insert(address, Live { object, of, block });
        Ok(())
    }

    /// What is at this address dies: it is not alive, nor a type, any more. `None` if nothing was known of it.
    pub(super) fn dies(&mut self, address: u64) -> Option<Live> {
        self.types.remove(&address);
        let stranger = || self.strangers.remove(&address).map(|object| Live { object, of: 0, block: None });
        self.live.remove(&address).or_else(stranger)
    }

    /// The number of what is at this address; a new one if its birth was not seen.
    pub(super) fn referent<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Object {
        match self.live.get(&address) {
            Some(live) => live.object,
            None => *self.strangers.entry(address).or_insert_with(|| writer.stranger()),
        }
    }
}
