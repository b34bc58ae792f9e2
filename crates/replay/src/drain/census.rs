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

/// What is known of an object, or of one whose birth was not seen. Half a line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Known {
    pub(super) object: Object,
    /// [`NO_BLOCK`] if it is in none.
    block: Block,
    /// Its type, or [`NO_TYPE`].
    of: TypeNumber,
    /// How many references to it there are, or [`NO_COUNT`] while that is not known; and where the last one stands of those
    /// that deaths which are going on may give up. For who follows deaths.
    count: u32,
    pub(super) last: Option<NonZeroU32>,
    /// It is dead, and nobody will tell more of it.
    is_over: bool,
    /// It is a type, or may be one.
    is_type: bool,
}

const NO_BLOCK: Block = Block::MAX;
const NO_TYPE: TypeNumber = TypeNumber::MAX;
const NO_COUNT: u32 = u32::MAX;

impl Known {
    #[inline]
    pub(super) fn block(&self) -> Option<Block> {
        (self.block != NO_BLOCK).then_some(self.block)
    }

    /// Whether it is a type whose birth was seen, and that was described.
    pub(super) fn is_known_type(&self) -> bool {
        self.is_type && self.object & STRANGER == 0
    }

    pub(super) fn set_block(&mut self, block: Option<Block>) {
        self.block = block.unwrap_or(NO_BLOCK);
    }

    #[inline]
    pub(super) fn of(&self) -> Option<TypeNumber> {
        (self.of != NO_TYPE).then_some(self.of)
    }

    #[inline]
    pub(super) fn count(&self) -> Option<u32> {
        (self.count != NO_COUNT).then_some(self.count)
    }

    #[inline]
    pub(super) fn set_count(&mut self, count: Option<u32>) {
        self.count = count.unwrap_or(NO_COUNT);
    }
}

/// A type that was described at some time.
#[derive(Clone, Copy, Debug)]
struct Described {
    kind: Kind,
    address: u64,
    /// Where what is known of it as an object stands.
    place: Option<Place>,
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
    described: Vec<Described>,
    /// The types that are told of by places.
    placed: Vec<Option<TypeNumber>>,
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
            described: Vec::new(),
            placed: Vec::new(),
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

    fn add_known(&mut self, object: Object, of: Option<TypeNumber>, block: Option<Block>) -> Place {
        let known = Known {
            object,
            block: block.unwrap_or(NO_BLOCK),
            of: of.unwrap_or(NO_TYPE),
            count: NO_COUNT,
            last: None,
            is_over: false,
            is_type: object & STRANGER != 0,
        };
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
        (self.known(place).object & STRANGER == 0).then_some(place)
    }

    /// Who lives at an address.
    pub(super) fn live(&mut self, address: u64) -> Option<Live> {
        self.place_of_live(address).map(|place| self.what_lives(place))
    }

    fn what_lives(&mut self, place: Place) -> Live {
        let known = *self.known(place);
        Live { object: known.object, of: self.address_of_type(known.of()), block: known.block() }
    }

    fn address_of_type(&self, of: Option<TypeNumber>) -> u64 {
        of.and_then(|of| self.described.get(of as usize)).map_or(0, |of| of.address)
    }

    /// Somebody lives at an address from here on, of whom nothing else was known.
    pub(super) fn settle(&mut self, address: u64, live: Live) {
        let of = self.types.get(&live.of).map(|of| of.number);
        let place = self.add_known(live.object, of, live.block);
        self.settle_at(address, place);
    }

    /// The same, if something was.
    pub(super) fn settle_at(&mut self, address: u64, place: Place) {
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
    #[inline]
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
        known.count = NO_COUNT;
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

    /// A type, which is known, is told of by this place from here on.
    pub(super) fn put_in_place(&mut self, of: u64, place: u16) {
        let place = usize::from(place);
        self.placed.resize(self.placed.len().max(place + 1), None);
        self.placed[place] = self.types.get(&of).map(|known| known.number);
    }

    /// The type in a place.
    #[inline]
    pub(super) fn in_place(&self, place: u16) -> Option<TypeNumber> {
        *self.placed.get(usize::from(place))?
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
        let place = self.place(address);
        self.described.push(Described { kind, address, place });
        self.types.insert(address, Type { number, kind, is_object });
        if let Some(place) = place {
            self.known(place).is_type = true;
        }
        Ok(())
    }

    /// What is to be known of a type.
    #[inline]
    pub(super) fn kind(&self, of: Option<TypeNumber>) -> &Kind {
        of.and_then(|of| self.described.get(of as usize)).map_or(&Kind::UNKNOWN, |of| &of.kind)
    }

    /// Where what is known of a type as an object stands.
    #[inline]
    pub(super) fn place_of_type(&self, of: Option<TypeNumber>) -> Option<Place> {
        self.described.get(of? as usize)?.place
    }

    /// What is to be known of a type, by its address.
    pub(super) fn kind_of(&self, of: u64) -> Kind {
        self.types.get(&of).map_or(Kind::UNKNOWN, |of| of.kind)
    }

    /// The block in which an object at this address lies, and how far behind its beginning.
    pub(super) fn block_at(address: u64, addresses: &mut Addresses) -> Option<(Block, u64)> {
        if let Some((begin, live)) = addresses.last()
            && let Some(offset) = address.checked_sub(begin)
            && OFFSETS.contains(&offset)
            && (offset == 0 || live.is_longer_than(offset))
        {
            return Some((live.block(), offset));
        }
        OFFSETS.iter().find_map(|&offset| {
            addresses.get(address.checked_sub(offset)?).map(|live| (live.block(), offset))
        })
    }

    /// The address of the object that lives in this block, which begins at an address.
    pub(super) fn in_block(&mut self, block: Block, address: u64) -> Option<u64> {
        OFFSETS
            .map(|offset| address.wrapping_add(offset))
            .into_iter()
            .find(|&address| self.places.get(address).is_some_and(|place| self.known(place).block == block))
    }

    /// An object is born at an address; `found` says in which block, and `kept` how many items it has if that was kept for
    /// it.
    pub(super) fn born<W: Write>(
        &mut self,
        address: u64,
        of: TypeNumber,
        found: Option<(Block, u64)>,
        kept: Option<u64>,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let begins = match found {
            None => Begins::Elsewhere,
            Some(_) if let Some(items) = kept => Begins::Kept(items),
            Some((block, offset)) => Begins::InBlock(block, u32::try_from(offset).unwrap_or_default()),
        };
        let object = writer.born(of, begins)?;
        if let (Some((block, _)), Some(_)) = (found, kept) {
            writer.observed(Death::Reuses(object, block));
        }
        let block = found.map(|(block, _)| block);
        let place = self.add_known(object, Some(of), block);
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
        Some(self.what_lives(place))
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
        let place = self.add_known(writer.stranger(), None, None);
        self.settle_at(address, place);
        place
    }
}
