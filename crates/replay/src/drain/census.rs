//! Who is alive, by address: what both ways of recording objects need to turn addresses into numbers.

use std::io::Write;
use std::num::NonZeroU32;

use hashbrown::HashMap;
use record::ObjectEvent;
use trace::{Begins, Block, Death, Object, STRANGER, TypeInfo, TypeNumber, Writer};

use super::addresses::Addresses;
use super::pages::Pages;
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

/// Where what is known of an object stands. It stays the same for as long as anybody may refer to it, also behind the
/// object's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(NonZeroU32);

/// What is known of an object, or of one whose birth was not seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) live: Live,
    pub(super) address: u64,
    /// How many references to it there are, while it is known; and where the last one stands of those that deaths which
    /// are going on may give up. For who follows deaths.
    pub(super) count: Option<u32>,
    pub(super) last: Option<NonZeroU32>,
    /// Its type, if that is known.
    pub(super) of: Option<TypeNumber>,
    /// It is dead, and nobody will tell more of it.
    is_over: bool,
    /// It is a type, or may be one.
    is_type: bool,
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
pub(super) struct Census {
    pub(super) types: HashMap<u64, Type>,
    /// Of all types that were ever described, by number.
    kinds: Vec<Kind>,
    places: Pages<Place>,
    known: Vec<Known>,
    free: Vec<Place>,
    describing: Option<Description>,
    version: (u32, u32),
}

impl Default for Census {
    fn default() -> Self {
        Self {
            types: HashMap::new(),
            kinds: Vec::new(),
            // Objects are aligned so from 3.8 on.
            places: Pages::new(4),
            known: Vec::new(),
            free: Vec::new(),
            describing: None,
            version: (0, 0),
        }
    }
}

impl Census {
    /// Of an interpreter of this version.
    pub(super) fn new(version: &str) -> Self {
        Self { version: minor_version(version).unwrap_or_default(), ..Self::default() }
    }

    #[inline]
    pub(super) fn known(&mut self, place: Place) -> &mut Known {
        &mut self.known[place.0.get() as usize - 1]
    }

    fn add_known(&mut self, address: u64, live: Live) -> Place {
        let is_type = live.object & STRANGER != 0;
        let known = Known { live, address, count: None, last: None, of: None, is_over: false, is_type };
        if let Some(place) = self.free.pop() {
            *self.known(place) = known;
            return place;
        }
        self.known.push(known);
        // Two hundred gigabytes of such records are full before their numbers are.
        let number = u32::try_from(self.known.len()).ok().and_then(NonZeroU32::new);
        Place(number.unwrap_or(NonZeroU32::MAX))
    }

    /// Where what is known of an address stands.
    #[inline]
    pub(super) fn place(&mut self, address: u64) -> Option<Place> {
        self.places.get(address)
    }

    /// The same of an object whose birth was seen.
    #[inline]
    fn place_of_live(&mut self, address: u64) -> Option<Place> {
        let place = self.places.get(address)?;
        (self.known(place).live.object & STRANGER == 0).then_some(place)
    }

    /// Who lives at an address.
    pub(super) fn live(&mut self, address: u64) -> Option<Live> {
        self.place_of_live(address).map(|place| self.known(place).live)
    }

    /// Somebody lives at an address from here on, of whom nothing else was known.
    pub(super) fn settle(&mut self, address: u64, live: Live) {
        let place = self.add_known(address, live);
        self.settle_at(address, place);
    }

    /// The same, if something was.
    pub(super) fn settle_at(&mut self, address: u64, place: Place) {
        self.known(place).address = address;
        if let Some(before) = self.places.insert(address, place).filter(|before| *before != place) {
            self.is_over(before);
        }
    }

    /// Takes away who lives at an address.
    pub(super) fn leave(&mut self, address: u64) -> Option<Place> {
        self.place_of_live(address)?;
        self.places.remove(address)
    }

    /// Nobody will tell any more of who was here.
    pub(super) fn is_over(&mut self, place: Place) {
        let known = self.known(place);
        known.is_over = true;
        if known.last.is_none() {
            self.free.push(place);
        }
    }

    /// No death that is going on refers to it any more.
    #[inline]
    pub(super) fn is_unreferred(&mut self, place: Place) {
        let known = self.known(place);
        known.count = None;
        if known.is_over {
            self.free.push(place);
        }
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
        let object = self.live(address).map(|live| live.object);
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
        self.kinds.push(kind);
        self.types.insert(address, Type { number, kind, is_object });
        if let Some(place) = self.place(address) {
            self.known(place).is_type = true;
        }
        Ok(())
    }

    /// What is to be known of a type.
    #[inline]
    pub(super) fn kind(&self, of: Option<TypeNumber>) -> &Kind {
        of.and_then(|of| self.kinds.get(of as usize)).unwrap_or(&Kind::UNKNOWN)
    }

    /// The same, by the type's address.
    pub(super) fn kind_of(&self, of: u64) -> Kind {
        self.types.get(&of).map_or(Kind::UNKNOWN, |of| of.kind)
    }

    /// The block in which an object at this address lies, and how far behind its beginning.
    pub(super) fn block_at(address: u64, addresses: &mut Addresses) -> Option<(Block, u64)> {
        OFFSETS.iter().find_map(|&offset| {
            addresses.get(address.checked_sub(offset)?).map(|live| (live.block(), offset))
        })
    }

    /// The address of the object that lives in this block, which begins at an address.
    pub(super) fn in_block(&mut self, block: Block, address: u64) -> Option<u64> {
        OFFSETS
            .map(|offset| address.wrapping_add(offset))
            .into_iter()
            .find(|&address| self.live(address).is_some_and(|live| live.block == Some(block)))
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
        let (number, block) = (kind.number, found.map(|(block, _)| block));
        let place = self.add_known(address, Live { object, of, block });
        self.known(place).of = Some(number);
        self.settle_at(address, place);
        Ok(())
    }

    /// What is at this address dies: it is not alive, nor a type, any more. `None` if nothing was known of it.
    pub(super) fn dies(&mut self, address: u64) -> Option<Place> {
        let place = self.places.remove(address);
        if place.is_none_or(|place| self.known(place).is_type) {
            self.types.remove(&address);
        }
        place
    }

    /// The same where nobody asks for its place any more.
    pub(super) fn is_gone(&mut self, address: u64) -> Option<Live> {
        let place = self.dies(address)?;
        self.is_over(place);
        Some(self.known(place).live)
    }

    /// What is known of what is at this address; a new stranger if its birth was not seen.
    #[inline]
    pub(super) fn referent<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Place {
        match self.places.get(address) {
            Some(place) => place,
            None => self.stranger(address, writer),
        }
    }

    #[cold]
    fn stranger<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Place {
        let live = Live { object: writer.stranger(), of: 0, block: None };
        let place = self.add_known(address, live);
        self.settle_at(address, place);
        place
    }
}
