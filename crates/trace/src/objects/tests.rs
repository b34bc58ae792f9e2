//! What is written of objects is read again, in its order among the calls of the memory manager.

use proptest::prelude::*;

use super::*;
use crate::{Allocator, Answer, Domain, Ending, Frame, Header, Kind, Reader, Tier, Writer};

/// What can be fetched.
#[derive(Debug)]
enum What {
    Begins(u64, Beginning),
    GoesOn(Beginning),
    Steps(u64, Option<u64>),
    Gives(u32),
    Calls,
    Trashcan(bool),
    Ends(Fate),
}

/// One call of the writer.
#[derive(Clone, Debug)]
enum Told {
    Allocate,
    /// Of the block that is alive and this number, modulo how many are.
    Release(usize, bool),
    Described(TypeInfo),
    Born(u8),
    Step(u64, u8, u64),
    Begins(bool, u64, Vec<(Option<u64>, u32)>, Vec<u64>),
    Steps(u64, Option<u64>),
    Gives(u32),
    Calls,
    Trashcan(bool),
    Ends(u64, bool),
    Observed(u64, u8),
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let info = ("[a-z.]{0,20}", any::<u32>(), any::<[bool; 5]>(), "[a-z]{0,9}");
    let info = info.prop_map(
        |(name, flags, [finalizes, weakly_referable, class, foreign, finalizes_late], family)| {
            Told::Described(TypeInfo {
                name,
                flags,
                finalizes,
                weakly_referable,
                class,
                foreign,
                finalizes_late,
                family,
                object: None,
            })
        },
    );
    let edges = prop::collection::vec((prop::option::of(any::<u64>()), 0..2000_u32), 0..20);
    let one = prop_oneof![
        4 => Just(Told::Allocate),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, by_death)| Told::Release(which, by_death)),
        1 => info,
        4 => (0..9_u8).prop_map(Told::Born),
        9 => (any::<u64>(), any::<u8>(), any::<u64>()).prop_map(|(object, what, value)| Told::Step(object, what, value)),
        2 => (any::<bool>(), any::<u64>(), edges, prop::collection::vec(any::<u64>(), 0..3)
        )
            .prop_map(|(first, object, edges, weak)| Told::Begins(first, object, edges, weak)),
        1 => (1..9_u64, prop::option::of(0..9_u64)).prop_map(|(steps, after)| Told::Steps(steps, after)),
        1 => any::<u32>().prop_map(Told::Gives),
        1 => Just(Told::Calls),
        1 => any::<bool>().prop_map(Told::Trashcan),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(object, kept)| Told::Ends(object, kept)),
        1 => (any::<u64>(), 0..4_u8).prop_map(|(object, what)| Told::Observed(object, what)),
    ];
    prop::collection::vec(one, 0..200)
}

fn header(tier: Tier) -> Header {
    let allocator = Allocator {
        alignment: 16,
        small_limit: 512,
        pool_size: 1 << 14,
        arena_size: 1 << 20,
        empty_arenas: crate::EmptyArenas::KeepLast,
    };
    Header {
        recorder: String::new(),
        started: 0,
        program: crate::Program { name: String::new(), command: None },
        interpreter: crate::Interpreter {
            implementation: "CPython".to_owned(),
            version: "3.13.5".to_owned(),
            build: String::new(),
            executable: None,
        },
        machine: crate::Machine { os: String::new(), arch: String::new(), processors: 1 },
        allocator,
        tier,
        tier_reason: String::new(),
        collections: false,
        parent: None,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(told in told(), follows in any::<bool>()) {
        let mut file = Vec::new();
        let tier = if follows { Tier::Counts } else { Tier::Objects };
        let mut writer = Writer::new(&mut file, &header(tier)).unwrap();
        let (mut live, mut blocks, mut objects, mut types, mut strangers) = (Vec::new(), 0, 0_u64, 0_u32, 0_u64);
        let (mut steps, mut infos, mut deaths) = (Vec::new(), Vec::new(), Vec::new());
        let (mut items, mut counts) = (Vec::new(), Vec::new());
        for one in told {
            // An object that was born, or a stranger.
            let mut whom = |number: u64, writer: &mut Writer<&mut Vec<u8>>| {
                if objects == 0 || number.is_multiple_of(5) {
                    strangers += 1;
                    assert_eq!(writer.stranger(), STRANGER | (strangers - 1));
                    STRANGER | (strangers - 1)
                } else {
                    number % objects
                }
            };
            match one {
                Told::Allocate => {
                    let block = writer.allocate(Domain::Obj, 32, false, Answer::Foreign).unwrap().unwrap();
                    live.push(block);
                    steps.push(None);
                    blocks += 1;
                }
                Told::Release(which, by_death) if !live.is_empty() => {
                    let block = live.swap_remove(which % live.len());
                    if by_death {
                        writer.release_by_death(block, 0, Domain::Obj).unwrap();
                    } else {
                        writer.release(block, 0, Domain::Obj).unwrap();
                        steps.push(None);
                    }
                }
                Told::Release(..) => {}
                Told::Described(mut info) => {
                    info.object = objects.checked_sub(1);
                    prop_assert_eq!(writer.described(&info).unwrap(), types);
                    types += 1;
                    infos.push(info);
                    steps.push(Some(Step::Described));
                }
                Told::Born(how) => {
                    if types == 0 || blocks == 0 {
                        continue;
                    }
                    let begins = match how {
                        0 => Begins::Elsewhere,
                        1 => Begins::Kept(objects % 4),
                        _ => Begins::InBlock(objects % blocks, u32::from(how) * 8),
                    };
                    prop_assert_eq!(writer.born(types - 1, begins).unwrap(), objects);
                    objects += 1;
                    steps.push(Some(Step::Born { of: types - 1, begins }));
                }
                Told::Step(number, what, value) => {
                    let object = whom(number, &mut writer);
                    let small = what % 3;
                    let step = match what {
                        0..100 => Step::Up(object),
                        100..200 => Step::Down(object),
                        200..210 => Step::Set(object, value),
                        210..220 if types > 0 => Step::Retyped(object, types - 1),
                        210..222 => Step::Thread(small.into()),
                        222..225 => Step::Interpreter(value),
                        225..230 => Step::Returned,
                        230..235 => Step::Finalized(object),
                        235..240 => Step::Collection(small),
                        240..245 => Step::Collected(value),
                        _ => Step::Dies(object),
                    };
                    writer.step(step).unwrap();
                    steps.push(Some(step));
                }
                Told::Begins(first, number, edges, weak) => {
                    let object = whom(number, &mut writer);
                    let edge = |(referent, count): (Option<u64>, u32)| {
                        let referent = referent.map(|number| whom(number, &mut writer));
                        Edge { referent, count: referent.and((count > 0).then_some(count)) }
                    };
                    let edges: Vec<_> = edges.into_iter().map(edge).collect();
                    let weak = weak.into_iter().map(|number| whom(number, &mut writer)).collect();
                    let mut beginning = Beginning { edges, weak };
                    if first {
                        writer.begins(object, &beginning).unwrap();
                    } else {
                        writer.goes_on(&beginning).unwrap();
                    }
                    if follows {
                        for edge in &mut beginning.edges {
                            let count = edge.count.take();
                            if edge.referent.is_some_and(|referent| referent & STRANGER == 0) {
                                counts.push(count.unwrap_or(COUNT_LIMIT));
                            }
                        }
                    }
                    items.push(if first { What::Begins(object, beginning) } else { What::GoesOn(beginning) });
                }
                Told::Steps(steps, after) => {
                    writer.steps(steps, after);
                    items.push(What::Steps(steps, after));
                }
                Told::Gives(at) => {
                    writer.gives(at);
                    items.push(What::Gives(at));
                }
                Told::Calls => {
                    writer.calls();
                    items.push(What::Calls);
                }
                Told::Trashcan(is_taken_up) => {
                    writer.trashcan(is_taken_up);
                    items.push(What::Trashcan(is_taken_up));
                }
                Told::Ends(number, kept) => {
                    let object = whom(number, &mut writer);
                    let fate = if kept { Fate::Kept } else { Fate::Released };
                    writer.ends(fate);
                    writer.observed(Death::Ends(object, fate));
                    deaths.push(Death::Ends(object, fate));
                    items.push(What::Ends(fate));
                }
                Told::Observed(number, what) => {
                    let object = whom(number, &mut writer);
                    let death = match what {
                        0 => Death::Begins(object),
                        1 => Death::Finalizer(object),
                        2 => Death::Callback(object),
                        _ => Death::Reuses(object, number),
                    };
                    writer.observed(death);
                    deaths.push(death);
                }
            }
        }
        let (totals, _) = writer.finish(Ending::Exited(0), 0).unwrap();
        prop_assert_eq!((totals.objects, totals.death_facts), (objects, deaths.len() as u64));
        prop_assert_eq!(totals.count_facts, counts.len() as u64);

        let mut reader = Reader::new(&file[..]).unwrap();
        let mut frame = Frame::default();
        if !reader.read(&mut frame).unwrap() {
            prop_assert!(steps.is_empty() && items.is_empty());
            return Ok(());
        }
        prop_assert_eq!(&frame.objects.types, &infos);
        prop_assert_eq!(&frame.objects.deaths, &deaths);
        prop_assert_eq!(&frame.objects.counts, &counts);
        prop_assert_eq!(frame.objects.steps.len(), steps.len());
        for (read, written) in frame.objects.steps.iter().zip(&steps) {
            match (read, written) {
                (Step::Block(input), None) => prop_assert!(matches!(input.kind(), Kind::Allocate | Kind::Release)),
                (read, written) => prop_assert_eq!(Some(*read), *written),
            }
        }
        // Each is there for who asks for it in its turn, and for nobody else.
        let (fetched, mut read) = (&mut frame.objects.fetched, Beginning::default());
        let mut last = 0;
        for what in items {
            let is_begins = matches!(what, What::Begins(..));
            prop_assert!(is_begins || !fetched.begins(last, &mut read));
            match what {
                What::Begins(object, beginning) => {
                    prop_assert!(!fetched.begins(object ^ 1, &mut read) && fetched.ends().is_none());
                    prop_assert!(fetched.begins(object, &mut read) && read == beginning);
                    last = object;
                }
                What::GoesOn(beginning) => {
                    prop_assert!(fetched.ends().is_none() && fetched.goes_on(&mut read) && read == beginning);
                }
                What::Steps(steps, after) => {
                    prop_assert_eq!(after.map_or(0, |after| fetched.steps(after + 1)), 0);
                    prop_assert!(fetched.ends().is_none() && !fetched.is_deposited());
                    prop_assert_eq!(fetched.steps(after.unwrap_or(3)), steps);
                }
                What::Gives(at) => {
                    prop_assert!(fetched.steps(0) == 0 && fetched.ends().is_none());
                    prop_assert_eq!(fetched.gives(), Some(at));
                }
                What::Calls => prop_assert!(fetched.steps(0) == 0 && !fetched.is_taken_up() && fetched.calls()),
                What::Trashcan(is_taken_up) => {
                    prop_assert!(!fetched.calls());
                    prop_assert!(fetched.gives().is_none());
                    let other = if is_taken_up { fetched.is_deposited() } else { fetched.is_taken_up() };
                    let it = if is_taken_up { fetched.is_taken_up() } else { fetched.is_deposited() };
                    prop_assert!(!other && it);
                }
                What::Ends(fate) => {
                    prop_assert!(fetched.gives().is_none() && !fetched.goes_on(&mut read));
                    prop_assert_eq!(fetched.ends(), Some(fate));
                }
            }
        }
        prop_assert!(frame.objects.fetched.is_empty());
        prop_assert!(!reader.read(&mut frame).unwrap());
    }

    #[test]
    fn any_bytes_decode_or_are_refused(streams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 12)) {
        let ids = Encoder::default().streams().map(|(id, _)| id);
        let bytes = |id: u8| {
            ids.iter().position(|one| *one == id).map_or(&[][..], |at| streams[at].as_slice())
        };
        let inputs = [PackedInput::release(3); 20];
        let _ = decode(bytes, &inputs, 7, &mut Known { objects: 5, types: 3, ..Known::default() }, &mut ObjectFrame::default());
    }
}
