//! What is written of collections is read again, in its order among the calls of the memory manager.

use proptest::prelude::*;

use super::*;
use crate::{Answer, Domain, Ending, Frame, Header, Reader, Tier, Writer};

/// One call of the writer.
#[derive(Clone, Debug)]
enum Say {
    Allocate(Domain, bool),
    Described(String, [bool; 5]),
    Step(CollectorAction),
    Graph { oldest: u8, arrivals: Vec<u8>, gone: Vec<u64>, came: Vec<(u8, u64)>, told: Vec<Told> },
    Collected(Collection),
}

fn object() -> impl Strategy<Value = u64> {
    0..1_000_000_u64
}

fn action() -> impl Strategy<Value = CollectorAction> {
    let settings = (any::<[u32; 3]>(), any::<[bool; 2]>(), any::<u32>(), 0..3_u8);
    let behind = (any::<[u32; 3]>(), any::<[u64; 2]>(), any::<u64>());
    let behind = behind.prop_map(|(counts, long_lived, graphs)| Behind { counts, long_lived, graphs });
    prop_oneof![
        settings.prop_map(|(thresholds, [enabled, calls_back], flags, permanent)| {
            let permanent = [Permanent::Unchanged, Permanent::More, Permanent::None][usize::from(permanent)];
            let settings = CollectorSettings { thresholds, enabled, flags, calls_back, permanent };
            CollectorAction::Settings(settings)
        }),
        (0..3_u8).prop_map(CollectorAction::Asks),
        Just(CollectorAction::SafePoint),
        Just(CollectorAction::Ends),
        Just(CollectorAction::CalledBack),
        prop::option::of(behind).prop_map(CollectorAction::Lost),
        Just(CollectorAction::Finalized),
        Just(CollectorAction::Exception),
        Just(CollectorAction::Elsewhere),
        Just(CollectorAction::Here),
        prop::option::of(prop::collection::vec(object(), 0..9)).prop_map(CollectorAction::Over),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let count = prop::option::of(prop_oneof![any::<u32>().prop_map(u64::from), Just(IMMORTAL)]);
    let referent = prop_oneof![4 => object(), 1 => Just(UNTRACKED)];
    let referents = prop::option::of(prop::collection::vec(referent, 0..6));
    let weak = prop::collection::vec(object(), 0..3);
    (object(), count, referents, any::<[bool; 2]>(), weak).prop_map(
        |(object, count, referents, [is_embedded, is_finalized], weak)| {
            let many = referents.as_ref().map_or(0, Vec::len);
            let uncounted = (0..u32::try_from(many).unwrap()).filter(|at| object >> at & 5 == 5).collect();
            Told { object, count, referents, uncounted, is_embedded, weak, is_finalized }
        },
    )
}

fn collection() -> impl Strategy<Value = Collection> {
    let objects = || prop::collection::vec(object(), 0..9);
    let numbers = (any::<[u32; 5]>(), any::<[u32; 3]>(), any::<[u32; 2]>());
    (prop::option::of(0..3_u8), numbers, objects(), objects()).prop_map(
        |(generation, (numbers, counts, long_lived), survivors, dead)| {
            let [a, collected, uncollectable, b, c] = numbers;
            let whole = Collection {
                event: 0,
                generation,
                candidates: 0,
                collected: collected.into(),
                uncollectable: uncollectable.into(),
                counts_before: [a, b, c],
                counts,
                long_lived: long_lived.map(u64::from),
                nanoseconds: Some(u64::from(a)).filter(|nanoseconds| *nanoseconds % 3 > 0),
                survivors,
                dead,
            };
            if generation.is_some() { whole } else { Collection::default() }
        },
    )
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        6 => (any::<bool>(), any::<bool>()).prop_map(|(is_mem, is_container)| {
            Say::Allocate(if is_mem { Domain::Mem } else { Domain::Obj }, is_container)
        }),
        2 => ("[a-z.]{0,12}", any::<[bool; 5]>()).prop_map(|(name, bits)| Say::Described(name, bits)),
        3 => action().prop_map(Say::Step),
        2 => (
            0..3_u8,
            prop::collection::vec(any::<u8>(), 0..9),
            prop::collection::vec(object(), 0..4),
            prop::collection::vec((0..3_u8, object()), 0..4),
            prop::collection::vec(told(), 0..9),
        )
            .prop_map(|(oldest, arrivals, gone, came, told)| Say::Graph { oldest, arrivals, gone, came, told }),
        2 => collection().prop_map(Say::Collected),
    ]
}

fn header() -> Header {
    let json = r#"{
        "recorder": "test", "started": 0, "program": {"name": "test"},
        "interpreter": {"implementation": "CPython", "version": "3.13.0", "build": "3.13.0"},
        "machine": {"os": "linux", "arch": "x86_64", "processors": 2},
        "allocator": {"alignment": 16, "small_limit": 512, "pool_size": 16384, "arena_size": 1048576,
                      "empty_arenas": "keep-last"},
        "tier": "collections", "tier_reason": ""}"#;
    serde_json::from_str(json).unwrap()
}

/// What was said, as it has to be read.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    steps: Vec<CollectorStep>,
    types: Vec<TypeInfo>,
    containers: Vec<bool>,
    graphs: Vec<Graph>,
    observed: Vec<Collection>,
}

proptest! {
    #[test]
    fn what_is_written_is_read(says in prop::collection::vec(say(), 0..80), beside in any::<bool>()) {
        let mut file = Vec::new();
        let tier = if beside { Tier::Objects } else { Tier::Collections };
        let mut writer = Writer::new(&mut file, &Header { tier, collections: beside, ..header() }).unwrap();
        let mut wanted = Heard::default();
        let (mut blocks, mut objects, mut types) = (0_u64, 0_u64, 0_u32);
        for say in says {
            match say {
                Say::Allocate(domain, is_container) => {
                    writer.allocate(domain, 48, false, Answer::Foreign).unwrap();
                    blocks += 1;
                    if domain == Domain::Obj {
                        if is_container {
                            writer.container();
                        }
                        wanted.containers.push(is_container);
                    }
                }
                Say::Described(name, [finalizes, weakly_referable, class, foreign, finalizes_late]) => {
                    let info = TypeInfo {
                        family: name.clone(),
                        name,
                        flags: 1 << 14,
                        finalizes,
                        weakly_referable,
                        class,
                        foreign,
                        finalizes_late,
                        object: None,
                    };
                    prop_assert_eq!(writer.collection_type(&info), types);
                    types += 1;
                    wanted.types.push(info);
                }
                Say::Step(mut what) => {
                    if let CollectorAction::Over(Some(survivors)) = &mut what {
                        survivors.iter_mut().for_each(|object| *object %= objects.max(1));
                        if objects == 0 {
                            survivors.clear();
                        }
                    }
                    writer.collector(&what);
                    wanted.steps.push(CollectorStep { event: writer.next_event(), what });
                }
                Say::Graph { oldest, arrivals, gone, came, told } => {
                    if types == 0 {
                        continue;
                    }
                    let arrivals: Vec<_> = arrivals
                        .into_iter()
                        .map(|how| {
                            let begins = match how % 4 {
                                3 => Begins::Elsewhere,
                                _ if blocks == 0 => Begins::Elsewhere,
                                place => Begins::InBlock(u64::from(how) % blocks, u32::from(place) * 16),
                            };
                            Arrival { of: u32::from(how) % types, begins }
                        })
                        .collect();
                    objects += arrivals.len() as u64;
                    let known = |object: u64| (objects > 0).then(|| object % objects);
                    let graph = Graph {
                        oldest,
                        arrivals,
                        gone: gone.into_iter().filter_map(known).collect(),
                        came: came.into_iter().filter_map(|(list, object)| Some((list, known(object)?))).collect(),
                        told: told
                            .into_iter()
                            .filter_map(|told| {
                                let referent = |object| if object == UNTRACKED { object } else { object % objects };
                                Some(Told {
                                    object: known(told.object)?,
                                    referents: told
                                        .referents
                                        .map(|referents| referents.into_iter().map(referent).collect()),
                                    weak: told.weak.into_iter().filter_map(known).collect(),
                                    ..told
                                })
                            })
                            .collect(),
                    };
                    writer.graph(&graph);
                    wanted.graphs.push(graph);
                }
                Say::Collected(mut collection) => {
                    collection.event = writer.next_event();
                    collection.candidates = objects.min(collection.candidates);
                    for list in [&mut collection.survivors, &mut collection.dead] {
                        list.retain(|_| objects > 0);
                        list.iter_mut().for_each(|object| *object %= objects.max(1));
                    }
                    writer.collected(&collection);
                    wanted.observed.push(collection);
                }
            }
        }
        writer.finish(Ending::Exited(0), 0).unwrap();
        let mut reader = Reader::new(&file[..]).unwrap();
        prop_assert_eq!((reader.header().tier, reader.header().has_collections()), (tier, true));
        let (mut frame, mut heard) = (Frame::default(), Heard::default());
        while reader.read(&mut frame).unwrap() {
            let births = frame.inputs.iter().filter(|input| input.is_birth_for_object()).count();
            heard.containers.extend((0..births).map(|at| frame.collections.is_container(at)));
            heard.steps.append(&mut frame.collections.steps);
            heard.types.append(&mut frame.collections.types);
            heard.graphs.extend(frame.collections.graphs.drain(..));
            heard.observed.append(&mut frame.observations.collections);
        }
        prop_assert_eq!(heard, wanted);
    }
}
