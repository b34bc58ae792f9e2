//! What is written of objects is read again, in its order among the calls of the memory manager.

use proptest::prelude::*;

use super::*;
use crate::{Allocator, Answer, Domain, Ending, Frame, Header, Kind, Reader, Tier, Writer};

/// One call of the writer.
#[derive(Clone, Debug)]
enum Told {
    Allocate,
    /// Of the block that is alive and this number, modulo how many are.
    Release(usize, bool),
    Described(TypeInfo),
    Born(bool),
    Dies(u64),
    Begins(u64, Vec<(Option<u64>, u32)>, Option<u32>, Option<u64>),
    Steps(u64, u64),
    Ends(u64, bool),
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let info = ("[a-z.]{0,20}", any::<u32>(), any::<[bool; 2]>());
    let info = info.prop_map(|(name, flags, [finalizes, weakly_referable])| {
        Told::Described(TypeInfo { name, flags, finalizes, weakly_referable, object: None })
    });
    let edges = prop::collection::vec((prop::option::of(any::<u64>()), 0..2000_u32), 0..20);
    let one = prop_oneof![
        4 => Just(Told::Allocate),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, by_death)| Told::Release(which, by_death)),
        1 => info,
        4 => any::<bool>().prop_map(Told::Born),
        2 => any::<u64>().prop_map(Told::Dies),
        2 => (any::<u64>(), edges, prop::option::of(0..9_u32), prop::option::of(0..9_u64))
            .prop_map(|(object, edges, choice, length)| Told::Begins(object, edges, choice, length)),
        1 => (any::<u64>(), 1..9_u64).prop_map(|(object, steps)| Told::Steps(object, steps)),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(object, kept)| Told::Ends(object, kept)),
    ];
    prop::collection::vec(one, 0..200)
}

fn header() -> Header {
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
        tier: Tier::Objects,
        tier_reason: String::new(),
        parent: None,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(told in told()) {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &header()).unwrap();
        let (mut live, mut blocks, mut objects, mut types, mut strangers) = (Vec::new(), 0, 0_u64, 0_u32, 0_u64);
        let (mut steps, mut infos, mut deaths) = (Vec::new(), Vec::new(), Vec::new());
        let mut items = Vec::new();
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
                Told::Born(elsewhere) => {
                    if types == 0 || blocks == 0 {
                        continue;
                    }
                    let begins =
                        if elsewhere { Begins::Elsewhere } else { Begins::InBlock(objects % blocks, 16) };
                    prop_assert_eq!(writer.born(types - 1, begins).unwrap(), objects);
                    objects += 1;
                    steps.push(Some(Step::Born { of: types - 1, begins }));
                }
                Told::Dies(number) => {
                    let object = whom(number, &mut writer);
                    writer.dies(object).unwrap();
                    steps.push(Some(Step::Dies(object)));
                }
                Told::Begins(number, edges, choice, length) => {
                    let object = whom(number, &mut writer);
                    let edge = |(referent, count): (Option<u64>, u32)| {
                        let referent = referent.map(|number| whom(number, &mut writer));
                        Edge { referent, count: referent.and((count > 0).then_some(count)) }
                    };
                    let edges = edges.into_iter().map(edge).collect();
                    let beginning = Beginning { choice, length, edges };
                    writer.begins(object, &beginning).unwrap();
                    writer.observed(Death::Begins(object));
                    deaths.push(Death::Begins(object));
                    items.push((object, What::Begins(beginning)));
                }
                Told::Steps(number, steps) => {
                    let object = whom(number, &mut writer);
                    writer.steps(object, steps);
                    items.push((object, What::Steps(steps)));
                }
                Told::Ends(number, kept) => {
                    let object = whom(number, &mut writer);
                    let fate = if kept { Fate::Kept } else { Fate::Released };
                    writer.ends(object, fate);
                    writer.observed(Death::Ends(object, fate));
                    deaths.push(Death::Ends(object, fate));
                    items.push((object, What::Ends(fate)));
                }
            }
        }
        let (totals, _) = writer.finish(Ending::Exited(0), 0).unwrap();
        prop_assert_eq!((totals.objects, totals.death_facts), (objects, deaths.len() as u64));

        let mut reader = Reader::new(&file[..]).unwrap();
        let mut frame = Frame::default();
        if !reader.read(&mut frame).unwrap() {
            prop_assert!(steps.is_empty() && items.is_empty());
            return Ok(());
        }
        prop_assert_eq!(&frame.objects.types, &infos);
        prop_assert_eq!(&frame.objects.deaths, &deaths);
        prop_assert_eq!(frame.objects.steps.len(), steps.len());
        for (read, written) in frame.objects.steps.iter().zip(&steps) {
            match (read, written) {
                (Step::Block(input), None) => prop_assert!(matches!(input.kind(), Kind::Allocate | Kind::Release)),
                (read, written) => prop_assert_eq!(Some(*read), *written),
            }
        }
        // Each is there for who asks for it in its turn, and for nobody else.
        for (object, what) in items {
            let other = object ^ 1;
            prop_assert_eq!(frame.objects.fetched.begins(other), None);
            match what {
                What::Begins(beginning) => {
                    prop_assert_eq!(frame.objects.fetched.next_choice(), beginning.choice);
                    prop_assert_eq!(frame.objects.fetched.ends(object), None);
                    prop_assert_eq!(frame.objects.fetched.begins(object), Some(beginning));
                }
                What::Steps(steps) => {
                    prop_assert_eq!(frame.objects.fetched.begins(object), None);
                    prop_assert_eq!(frame.objects.fetched.steps(other), 0);
                    prop_assert_eq!(frame.objects.fetched.steps(object), steps);
                }
                What::Ends(fate) => {
                    prop_assert_eq!(frame.objects.fetched.begins(object), None);
                    prop_assert_eq!(frame.objects.fetched.ends(object), Some(fate));
                }
            }
        }
        prop_assert!(frame.objects.fetched.is_empty());
        prop_assert!(!reader.read(&mut frame).unwrap());
    }

    #[test]
    fn any_bytes_decode_or_are_refused(streams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 9)) {
        let ids = Encoder::default().streams().map(|(id, _)| id);
        let bytes = |id: u8| {
            ids.iter().position(|one| *one == id).map_or(&[][..], |at| streams[at].as_slice())
        };
        let inputs = [PackedInput::release(3); 20];
        let _ = decode(bytes, &inputs, 7, &mut Known { objects: 5, types: 3, deaths: 0 }, &mut ObjectFrame::default());
    }
}
