use trace::Fate;

use super::*;

/// Accounts of two types, `0` and `1`, that are followed by hand.
fn accounts() -> Accounts {
    let mut accounts = Accounts::new(15);
    accounts.described("list");
    accounts.described("str");
    accounts
}

fn born(accounts: &mut Accounts, of: TypeNumber) {
    accounts.happens(&Happening::Born { of, begins: Begins::Elsewhere });
}

fn begins(accounts: &mut Accounts, object: Object, cause: Cause) {
    accounts.happens(&Happening::Begins(object, cause));
}

fn ends(accounts: &mut Accounts, object: Object) {
    accounts.happens(&Happening::Ends { object, fate: Fate::Kept, lives_on: false });
}

/// Deaths of a type by period and way.
fn deaths(accounts: &Accounts, of: usize) -> [[u64; 4]; 3] {
    accounts.types[of].deaths.0
}

#[test]
fn what_dies_in_a_collection_is_told_apart() {
    let mut accounts = accounts();
    (0..3).for_each(|_| born(&mut accounts, 0));
    accounts.happens(&Happening::CollectionBegins(0));
    begins(&mut accounts, 0, Cause::Outermost);
    begins(&mut accounts, 1, Cause::Explained);
    ends(&mut accounts, 1);
    ends(&mut accounts, 0);
    // A finalizer's work: born and dead inside of the collection.
    born(&mut accounts, 1);
    begins(&mut accounts, 3, Cause::Outermost);
    ends(&mut accounts, 3);
    accounts.happens(&Happening::CollectionEnds(0));
    begins(&mut accounts, 2, Cause::Outermost);
    ends(&mut accounts, 2);
    assert_eq!(deaths(&accounts, 0), [[1, 0, 0, 0], [1, 1, 0, 0], [0; 4]]);
    assert_eq!(deaths(&accounts, 1), [[1, 0, 0, 0], [0; 4], [0; 4]]);
}

#[test]
fn what_is_born_inside_of_a_death_does_not_die_of_it() {
    let mut accounts = accounts();
    (0..2).for_each(|_| born(&mut accounts, 0));
    begins(&mut accounts, 0, Cause::Outermost);
    // A finalizer makes a list of a string, and lets go of both.
    born(&mut accounts, 0);
    born(&mut accounts, 1);
    begins(&mut accounts, 2, Cause::AfterCode);
    begins(&mut accounts, 3, Cause::Explained);
    ends(&mut accounts, 3);
    ends(&mut accounts, 2);
    begins(&mut accounts, 1, Cause::AfterCode);
    ends(&mut accounts, 1);
    ends(&mut accounts, 0);
    assert_eq!(deaths(&accounts, 0)[0], [2, 0, 0, 1]);
    assert_eq!(deaths(&accounts, 1)[0], [0, 1, 0, 0]);
    let cascades = accounts.cascades.longest();
    let inside: Vec<_> =
        cascades.iter().map(|cascade| (cascade.inside, cascade.levels, cascade.after_code)).collect();
    assert_eq!(inside, [(1, 1, 1), (1, 1, 0)]);
}

#[test]
fn levels_are_counted_by_cascade() {
    let mut accounts = accounts();
    (0..4).for_each(|_| born(&mut accounts, 0));
    begins(&mut accounts, 0, Cause::Outermost);
    begins(&mut accounts, 1, Cause::Explained);
    begins(&mut accounts, 2, Cause::Unexplained);
    ends(&mut accounts, 2);
    ends(&mut accounts, 1);
    begins(&mut accounts, 3, Cause::Explained);
    ends(&mut accounts, 3);
    ends(&mut accounts, 0);
    let [cascade] = accounts.cascades.longest()[..] else { panic!() };
    assert_eq!((cascade.inside, cascade.levels, cascade.hidden), (3, 2, 1));
    assert_eq!(accounts.hidden.iter().collect::<Vec<_>>(), [(&(Some(0), 0), &1)]);
}

#[test]
fn a_death_that_does_not_end_is_none() {
    let mut accounts = accounts();
    born(&mut accounts, 0);
    begins(&mut accounts, 0, Cause::Outermost);
    accounts.finish();
    assert_eq!((accounts.types[0].outlived(), accounts.survived.below(0)), (1, 1));
}

#[test]
fn types_of_one_name_are_one() {
    let mut accounts = accounts();
    accounts.described("str");
    (0..3).for_each(|of| born(&mut accounts, of));
    // No trace says so; a sum must come out nevertheless.
    born(&mut accounts, 7);
    let born: Vec<_> = accounts.types.iter().map(|of| (of.name.as_str(), of.born)).collect();
    assert_eq!(born, [("list", 1), ("str", 2), ("(unknown)", 1)]);
}

#[test]
fn threads_do_not_die_of_each_other() {
    let mut accounts = accounts();
    (0..4).for_each(|_| born(&mut accounts, 0));
    begins(&mut accounts, 0, Cause::Outermost);
    accounts.happens(&Happening::Thread(1));
    begins(&mut accounts, 1, Cause::Outermost);
    begins(&mut accounts, 2, Cause::Explained);
    accounts.happens(&Happening::Thread(0));
    begins(&mut accounts, 3, Cause::Explained);
    ends(&mut accounts, 3);
    ends(&mut accounts, 0);
    accounts.happens(&Happening::Thread(1));
    ends(&mut accounts, 2);
    ends(&mut accounts, 1);
    assert_eq!(deaths(&accounts, 0)[0], [2, 2, 0, 0]);
    let cascades = accounts.cascades.longest();
    assert_eq!(cascades.iter().map(|cascade| cascade.inside).collect::<Vec<_>>(), [1, 1]);
}

/// A finalizer drops what is older; a collection in it frees what is older, with a reference that nobody tells of.
#[test]
fn what_code_inside_of_a_death_does_is_known_where_it_is_told() {
    let mut accounts = accounts();
    (0..4).for_each(|_| born(&mut accounts, 0));
    begins(&mut accounts, 0, Cause::Outermost);
    begins(&mut accounts, 1, Cause::Outermost);
    ends(&mut accounts, 1);
    accounts.happens(&Happening::CollectionBegins(0));
    begins(&mut accounts, 2, Cause::Unexplained);
    begins(&mut accounts, 3, Cause::Unexplained);
    ends(&mut accounts, 3);
    ends(&mut accounts, 2);
    accounts.happens(&Happening::CollectionEnds(0));
    ends(&mut accounts, 0);
    assert_eq!(deaths(&accounts, 0), [[2, 0, 0, 0], [1, 0, 1, 0], [0; 4]]);
    assert_eq!(accounts.cascades.inside.len(), 3);
}
