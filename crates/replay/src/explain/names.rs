//! Types by name.

use hashbrown::HashMap;
use trace::TypeNumber;

/// A name: its place among those that there are.
pub(super) type Name = u32;

/// Types that have the same name are one.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<String>,
    places: HashMap<String, Name>,
    types: Vec<Name>,
}

impl Names {
    /// The next type is described.
    pub(super) fn described(&mut self, name: &str) {
        let name = self.place(name);
        self.types.push(name);
    }

    /// The place of a name, which is there from here on.
    pub(super) fn place(&mut self, name: &str) -> Name {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = Name::try_from(self.all.len()).unwrap_or(Name::MAX);
        self.all.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }

    /// The place of a name, if a type has it.
    pub(super) fn find(&self, name: &str) -> Option<Name> {
        self.places.get(name).copied()
    }

    /// All names, in the order in which types were described.
    pub(super) fn all(&self) -> &[String] {
        &self.all
    }

    /// The name of a type; that of none for one that was not described.
    pub(super) fn of(&self, of: TypeNumber) -> Name {
        self.types.get(of as usize).copied().unwrap_or(Name::MAX)
    }

    /// A name.
    pub(super) fn text(&self, name: Name) -> &str {
        self.all.get(name as usize).map_or("(unknown)", String::as_str)
    }
}
