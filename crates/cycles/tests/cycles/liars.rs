//! A heap may tell anything in a survey: nothing panics, and who has to be kept is kept.

use bumpalo::Bump;
use cycles::{Containers, Lists, Place, Snapshot, Surveyor, track};
use rc::{Counting, Heap};

use crate::numbers::{Numbers, YOUNG};

/// Tells this of what all its objects refer to, whatever that is.
struct Liar {
    heap: Numbers,
    referents: &'static [u32],
    ends: &'static [u32],
}

impl Heap for Liar {
    type Id = usize;

    fn count(&self, object: usize) -> u64 {
        self.heap.count(object)
    }

    fn set_count(&mut self, object: usize, word: u64) {
        self.heap.set_count(object, word);
    }

    fn release_next(&mut self, object: usize) -> Option<usize> {
        self.heap.release_next(object)
    }
}

impl Containers for Liar {
    fn traverse(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.heap.traverse(object, visit);
    }

    fn survey(&self, objects: &[usize], _first: Place, surveyor: &mut impl Surveyor) {
        let counts: Vec<u32> = objects.iter().map(|_| 1).collect();
        surveyor.all_counted(0, &counts);
        surveyor.refer(self.referents, self.ends);
    }

    fn place(&self, object: usize) -> Place {
        self.heap.place(object)
    }

    fn set_place(&mut self, object: usize, place: Place) {
        self.heap.set_place(object, place);
    }

    fn lists(&self) -> &Lists<usize> {
        self.heap.lists()
    }

    fn lists_mut(&mut self) -> &mut Lists<usize> {
        self.heap.lists_mut()
    }
}

#[test]
fn nothing_that_is_told_panics() {
    let lies: [(&[u32], &[u32]); 6] = [
        (&[0, 1, 2], &[1, 2, 3]),
        (&[7, u32::MAX, 1 << 31], &[1, 2, 3]),
        (&[0, 1, 2], &[3, 1, 2]),
        (&[0, 1, 2], &[u32::MAX, 9, 0]),
        (&[0, 1, 2], &[1, 2, 3, 3, 3, 3]),
        (&[2], &[]),
    ];
    for (referents, ends) in lies {
        let mut liar = Liar { heap: Numbers::new(3), referents, ends };
        (0..3).for_each(|object| assert!(track(&mut liar, object, YOUNG)));
        let scratch = Bump::new();
        let snapshot = Snapshot::take(&mut liar, YOUNG, Counting::PLAIN, &scratch).unwrap();
        let partition = snapshot.partition(&scratch);
        // All are held from outside: nothing was taken off what is counted of them.
        assert_eq!(partition.reachable().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((0..3).map(|at| snapshot.referents(at).len()).filter(|&len| len > 3).count(), 0);
    }
}
