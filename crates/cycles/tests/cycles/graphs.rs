//! Who is unreachable, by three: the partition, petgraph, and a search that is plainly right. Then what the garbage is
//! made of, by definition.

use bumpalo::Bump;
use cycles::{Graph, Limits, Snapshot, anatomy, second_opinion};
use petgraph::visit::{EdgeCount, IntoEdgeReferences, NodeIndexable};
use rc::Counting;

use crate::numbers::{Numbers, YOUNG};
use crate::setup::{Choices, Seed};

/// Which of the young are reached from anywhere else.
fn reached(heap: &Numbers) -> Vec<bool> {
    let young: Vec<_> = heap.places.iter().map(|place| place.list() == Some(YOUNG)).collect();
    let from_young = |object: usize| {
        let owners = heap.owned.iter().zip(&young).filter(|&(_, &young)| young);
        owners.flat_map(|(owned, _)| owned).filter(|&&member| member == object).count() as u64
    };
    let mut reached: Vec<_> =
        (0..young.len()).map(|object| young[object] && heap.counts[object] > from_young(object)).collect();
    // As often as it takes.
    for _ in 0..young.len() {
        for owner in 0..young.len() {
            if reached[owner] {
                let all = heap.owned[owner].iter().chain(&heap.borrowed[owner]);
                all.filter(|&&member| young[member]).for_each(|&member| reached[member] = true);
            }
        }
    }
    reached
}

#[test]
fn three_say_who_is_unreachable() {
    let graphs = crate::named("VIVARIUM_CYCLES_GRAPHS", 20_000);
    let mut scratch = Bump::new();
    let (mut objects, mut garbage) = (0, 0);
    for seed in 0..graphs {
        scratch.reset();
        let mut heap = Numbers::random(&mut Seed::new(seed.into()), if seed % 50 == 0 { 120 } else { 20 });
        let reached = reached(&heap);
        let snapshot = Snapshot::take(&mut heap, YOUNG, Counting::PLAIN, &scratch).unwrap();
        let partition = snapshot.partition(&scratch);
        let marks = second_opinion(&snapshot, &scratch);
        assert_eq!(snapshot.excess(), 0);
        for (at, &object) in (0..).zip(snapshot.objects()) {
            assert_eq!(partition.is_unreachable(at), !reached[object], "seed {seed}");
            assert_eq!(marks.is_marked(at), reached[object], "seed {seed}");
        }
        assert!(partition.unreachable().is_sorted());
        let mut all: Vec<_> = partition.reachable().chain(partition.unreachable()).collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..u32::try_from(snapshot.objects().len()).unwrap()));
        objects += all.len();
        garbage += partition.unreachable().count();
    }
    println!("{graphs} graphs, {objects} objects, {garbage} unreachable");
    assert!(garbage > objects / 20 && garbage < objects);
}

/// Whom each node reaches over one reference or more.
fn closure(graph: Graph<'_>) -> Vec<u64> {
    let mut reaches: Vec<u64> = (0..graph.len())
        .map(|node| graph.referents(node.try_into().unwrap()).iter().fold(0, |all, &to| all | 1 << to))
        .collect();
    for over in 0..reaches.len() {
        for from in 0..reaches.len() {
            if reaches[from] >> over & 1 == 1 {
                reaches[from] |= reaches[over];
            }
        }
    }
    reaches
}

/// How many references the shortest cycle through a node has, if there is one.
fn girth(graph: Graph<'_>, node: u32) -> Option<usize> {
    let mut at = 1_u64 << node;
    (1..=graph.len()).find(|_| {
        let nodes = (0..64).filter(|&other| at >> other & 1 == 1);
        at = nodes.flat_map(|other| graph.referents(other)).fold(0, |all, &to| all | 1 << to);
        at >> node & 1 == 1
    })
}

/// All that can be reached from the nodes that nobody holds, and from a cycle that nobody holds, without these.
fn held_without(graph: Graph<'_>, reaches: &[u64], without: u64) -> u64 {
    let node = |node: usize| u32::try_from(node).unwrap();
    let is_root = |&at: &usize| {
        let holders = (0..graph.len()).filter(|&other| reaches[other] >> at & 1 == 1);
        holders.into_iter().all(|holder| reaches[at] >> holder & 1 == 1)
    };
    let mut held = (0..graph.len()).filter(is_root).fold(0_u64, |all, root| all | 1 << root) & !without;
    for _ in 0..graph.len() {
        for at in (0..graph.len()).filter(|&at| held >> at & 1 == 1).collect::<Vec<_>>() {
            held |= graph.referents(node(at)).iter().fold(0, |all, &to| all | 1 << to) & !without;
        }
    }
    held
}

#[test]
fn anatomies_are_what_they_say() {
    let graphs = crate::named("VIVARIUM_CYCLES_ANATOMIES", 3_000);
    let mut knots = 0;
    for seed in 0..graphs {
        let mut choices = Seed::new(seed.into());
        let nodes = 1 + choices.of(30);
        let many = choices.of(nodes * 2);
        let node = |choices: &mut Seed| u32::try_from(choices.of(nodes)).unwrap();
        let edges: Vec<_> = (0..many).map(|_| (node(&mut choices), node(&mut choices))).collect();
        let scratch = Bump::new();
        let graph = Graph::from_edges(nodes.try_into().unwrap(), &edges, &scratch);
        let reaches = closure(graph);
        let kind = |node: u32| node % 3;
        let found = anatomy(graph, kind, |node| 1 << node, Limits::default(), &scratch);

        let mut seen = found.strays.iter().fold(0_u64, |all, &node| all | 1 << node);
        assert_eq!(seen.count_ones() as usize, found.strays.len());
        assert!(found.is_dominated);
        assert!(found.knots.is_sorted_by_key(|knot| knot.members[0]));
        let in_cycles = (0..nodes).filter(|&node| reaches[node] >> node & 1 == 1);
        let in_cycles = in_cycles.fold(0, |all, node| all | 1 << node);
        let reached = in_cycles
            | (0..nodes).filter(|&node| in_cycles >> node & 1 == 1).fold(0, |all, node| all | reaches[node]);
        assert_eq!(seen, !reached & ((1 << nodes) - 1), "seed {seed}");
        for knot in &found.knots {
            knots += 1;
            let size = knot.members.iter().fold(0, |all, &node| all | 1 << node);
            assert_eq!(knot.size, size);
            let first = knot.members[0];
            let with_first = (0..nodes)
                .filter(|&node| reaches[node] >> first & 1 == 1 && reaches[first as usize] >> node & 1 == 1);
            assert_eq!(size, with_first.fold(0, |all, node| all | 1 << node), "seed {seed}");

            let shortest = knot.members.iter().filter_map(|&node| girth(graph, node)).min();
            assert_eq!((Some(knot.cycle.len()), knot.is_shortest), (shortest, true), "seed {seed}");
            let mut next = knot.cycle.clone();
            next.rotate_left(1);
            assert!(knot.cycle.iter().zip(&next).all(|(&from, to)| graph.referents(from).contains(to)));
            assert!(knot.cycle.iter().map(|&node| kind(node)).eq(knot.signature.iter().copied()));
            let (from, to) = knot.closing;
            assert!(knot.cycle.iter().zip(&next).any(|pair| pair == (&from, &to)));
            assert_eq!(knot.cycle.iter().max(), Some(&to));

            for &node in &knot.hanging {
                assert!(reaches[first as usize] >> node & 1 == 1 && in_cycles >> node & 1 == 0);
            }
            let hanging = knot.hanging.iter().fold(0, |all, &node| all | 1 << node);
            assert_eq!(seen & (size | hanging), 0, "nobody is told of twice");
            seen |= size | hanging;

            let lost = ((1 << nodes) - 1) & !held_without(graph, &reaches, size);
            assert_eq!(knot.retained, Some(lost), "seed {seed}");
        }
        assert_eq!(seen, (1 << nodes) - 1);
    }
    assert!(knots > graphs / 4);
}

#[test]
fn a_part_of_a_snapshot_as_a_graph() {
    for seed in 0..500 {
        let mut choices = Seed::new(seed);
        let mut heap = Numbers::random(&mut choices, 30);
        let scratch = Bump::new();
        let snapshot = Snapshot::take(&mut heap, YOUNG, Counting::PLAIN, &scratch).unwrap();
        let all = Graph::of(&snapshot, &scratch);
        assert_eq!((all.len(), all.edge_count()), (snapshot.objects().len(), snapshot.references()));
        let chosen: Vec<u32> =
            (0..).zip(snapshot.objects()).map(|(at, _)| at).filter(|_| choices.of(2) == 1).collect();
        let twice = chosen.iter().rev().chain(&chosen).copied();
        let part = Graph::among(&snapshot, twice, &scratch);
        assert_eq!(part.len(), chosen.len());
        let edges = |graph: Graph<'_>| {
            let edges =
                graph.edge_references().map(|edge| (graph.number(edge.source), graph.number(edge.target)));
            let mut edges: Vec<_> = edges.collect();
            edges.sort_unstable();
            edges
        };
        let is_chosen = |number: &u32| chosen.binary_search(number).is_ok();
        let mut expected = edges(all);
        expected.retain(|(source, target)| is_chosen(source) && is_chosen(target));
        assert_eq!(edges(part), expected);
        for node in 0..part.node_bound() {
            let node = part.from_index(node);
            for &referrer in part.referrers(node) {
                assert!(part.referents(referrer).contains(&node));
            }
        }
        let backward: usize =
            (0..part.len()).map(|node| part.referrers(node.try_into().unwrap()).len()).sum();
        assert_eq!(backward, part.edge_count());
    }
}
