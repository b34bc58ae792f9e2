//! The check `reachability`: a second opinion, by petgraph, on who is garbage in each collection.
//!
//! It shares nothing with the engine: it keeps a graph of its own, from what the trace tells of objects, takes who is on which
//! list from what was observed, and finds with petgraph's algorithms whom somebody outside of the graph can reach: those that have
//! more references than the graph has edges to them that are counted, and whatever can be reached from there. The others must be those, and no
//! others, that the engine has called garbage.

use hashbrown::HashMap;
use petgraph::Direction::Incoming;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, VisitMap, Visitable};
use trace::{
    Begins, Block, Collection, CollectorAction, CollectorStep, IMMORTAL, Object, PackedInput, Permanent,
};

use super::Tally;
use super::collections::{CollectionDivergence, Difference};
use crate::engine::Look;

/// Behind the generations: the list of those that are never collected.
const FROZEN: usize = 3;

/// An object on a list.
#[derive(Debug)]
struct Member {
    list: usize,
    count: u64,
    /// To whom it refers, and whether that is counted.
    referents: Vec<(Object, bool)>,
    block: Option<Block>,
    /// In the graph of the collection that is looked at.
    node: Option<NodeIndex>,
}

/// A collection that is going on.
#[derive(Debug)]
struct Going {
    candidates: Vec<Object>,
    differs: Option<Difference>,
}

/// Compares who is garbage with who cannot be reached.
///
/// It holds the objects on lists and their references; for the time of one comparison, the graph of one collection.
#[derive(Debug, Default)]
pub struct Reachability {
    members: HashMap<Object, Member>,
    by_block: HashMap<Block, Object>,
    lists: [Vec<Object>; 4],
    going: Option<Going>,
    compared: u64,
    tally: Tally,
    first: Option<CollectionDivergence>,
    is_lost: bool,
}

impl Reachability {
    /// Follows a frame, whose first input is event number `first_event`, and compares: `looks` are those of the engine at what the
    /// frame's collections looked at, `observed` the collections that are over in it.
    pub fn frame(
        &mut self,
        first_event: u64,
        inputs: &[PackedInput],
        steps: &[CollectorStep],
        observed: &[Collection],
        looks: &[Look],
    ) {
        let (mut looks, mut observed) = (looks.iter().peekable(), observed.iter());
        let mut steps = steps.iter().enumerate().peekable();
        let end = first_event + inputs.len() as u64;
        for event in first_event..=end {
            loop {
                let done = steps.peek().map_or(usize::MAX, |(at, _)| *at);
                if let Some(look) = looks.next_if(|look| look.event <= event && look.steps <= done) {
                    self.look(look);
                } else if let Some((_, step)) = steps.next_if(|(_, step)| step.event <= event || event == end)
                {
                    self.step(&step.what, &mut observed);
                } else {
                    break;
                }
            }
            let input = usize::try_from(event - first_event).ok().and_then(|at| inputs.get(at));
            if let Some(input) = input.filter(|input| input.is_release())
                && let Some(object) = self.by_block.remove(&input.block())
            {
                self.members.remove(&object);
            }
        }
        // Those that no step of this frame is about.
        observed.for_each(|collection| self.leave(collection));
    }

    fn step<'o>(&mut self, what: &CollectorAction, observed: &mut impl Iterator<Item = &'o Collection>) {
        match what {
            CollectorAction::Settings(settings) => match settings.permanent {
                Permanent::Unchanged => {}
                Permanent::More => (0..FROZEN).for_each(|list| self.move_all(list, FROZEN)),
                Permanent::None => self.move_all(FROZEN, 2),
            },
            CollectorAction::Over(_) | CollectorAction::Lost(_) => {
                if let Some(collection) = observed.next() {
                    self.is_over(collection);
                }
                if let CollectorAction::Lost(Some(_)) = what {
                    self.begin_anew();
                }
            }
            CollectorAction::Asks(_)
            | CollectorAction::SafePoint
            | CollectorAction::Ends
            | CollectorAction::CalledBack
            | CollectorAction::Finalized
            | CollectorAction::Exception
            | CollectorAction::Elsewhere
            | CollectorAction::Here => {}
        }
    }

    /// Behind a collection that was not seen all is told anew, but for those that are never collected.
    fn begin_anew(&mut self) {
        self.lists[..FROZEN].iter_mut().for_each(Vec::clear);
        self.members.retain(|_, member| member.list == FROZEN);
        let members = &self.members;
        self.by_block.retain(|_, object| members.contains_key(object));
        self.going = None;
        self.is_lost = false;
    }

    fn move_all(&mut self, from: usize, to: usize) {
        for object in std::mem::take(&mut self.lists[from]) {
            if let Some(member) = self.members.get_mut(&object)
                && member.list == from
            {
                self.put(object, to);
            }
        }
    }

    fn put(&mut self, object: Object, list: usize) {
        if let Some(member) = self.members.get_mut(&object) {
            member.list = list;
            self.lists[list].push(object);
        }
    }

    fn forget(&mut self, object: Object) {
        if let Some(Member { block: Some(block), .. }) = self.members.remove(&object)
            && self.by_block.get(&block) == Some(&object)
        {
            self.by_block.remove(&block);
        }
    }

    /// Takes in what is told, and compares.
    fn look(&mut self, look: &Look) {
        if self.is_lost {
            return;
        }
        self.take_in(look);
        if look.is_again {
            return;
        }
        let mut candidates = Vec::new();
        for list in 0..=usize::from(look.generation).min(2) {
            for object in std::mem::take(&mut self.lists[list]) {
                let is_new = |member: &Member| member.list == list;
                // Each once; those that have gone are none.
                if let Some(member) = self.members.get_mut(&object).filter(|member| is_new(member)) {
                    member.list = usize::MAX;
                    candidates.push(object);
                }
            }
        }
        let Some(differs) = self.compare(&candidates, &look.unreachable) else {
            self.is_lost = true;
            return;
        };
        self.going = Some(Going { candidates, differs });
    }

    fn take_in(&mut self, Look { first, graph, .. }: &Look) {
        let mut came = graph.came.iter().peekable();
        for (object, arrival) in (*first..).zip(&graph.arrivals) {
            let block = if let Begins::InBlock(block, _) = arrival.begins { Some(block) } else { None };
            if let Some(before) = block.and_then(|block| self.by_block.insert(block, object)) {
                self.members.remove(&before);
            }
            let member = Member { list: 0, count: 0, referents: Vec::new(), block, node: None };
            self.members.insert(object, member);
            let list = came.next_if(|came| came.1 == object).map_or(0, |came| usize::from(came.0).min(2));
            self.put(object, list);
        }
        graph.gone.iter().for_each(|object| self.forget(*object));
        for told in &graph.told {
            let Some(member) = self.members.get_mut(&told.object) else { continue };
            member.count = told.count.unwrap_or(member.count);
            if let Some(referents) = &told.referents {
                // The values of an embedded dictionary are another object's references.
                let referents = referents.iter().filter(|_| !told.is_embedded);
                member.referents.clear();
                member.referents.extend(referents.map(|referent| (*referent, true)));
                for at in &told.uncounted {
                    if let Some(referent) = member.referents.get_mut(*at as usize) {
                        referent.1 = false;
                    }
                }
            }
        }
    }

    /// Where the garbage is not what cannot be reached: `None` inside if nowhere; outside if there is more than petgraph can number.
    #[allow(clippy::option_option, reason = "no answer is not the answer that nothing differs")]
    fn compare(&mut self, candidates: &[Object], garbage: &[Object]) -> Option<Option<Difference>> {
        let mut graph = DiGraph::<Object, bool>::with_capacity(candidates.len(), candidates.len());
        for &object in candidates {
            let member = self.members.get_mut(&object)?;
            // What is immortal is outside.
            member.node =
                if member.count == IMMORTAL { None } else { Some(graph.try_add_node(object).ok()?) };
        }
        for &object in candidates {
            let member = &self.members[&object];
            let Some(from) = member.node else { continue };
            for (referent, is_counted) in &member.referents {
                if let Some(to) = self.members.get(referent).and_then(|referent| referent.node) {
                    graph.try_add_edge(from, to, *is_counted).ok()?;
                }
            }
        }
        let is_held_outside = |node: &NodeIndex| {
            let inside = graph.edges_directed(*node, Incoming).filter(|edge| *edge.weight()).count() as u64;
            self.members[&graph[*node]].count != inside
        };
        let roots = graph.node_indices().filter(is_held_outside).collect();
        let mut search = Dfs::from_parts(roots, graph.visit_map());
        while search.next(&graph).is_some() {}
        let reached = search.discovered;
        let mut called = graph.visit_map();
        let mut differs = None;
        for object in garbage {
            let node = self.members.get(object).and_then(|member| member.node);
            match node {
                // Each once.
                Some(node) if !reached.is_visited(&node) && called.visit(node) => {}
                _ => differs = differs.or(Some(Difference::Reached(*object))),
            }
        }
        let is_missed = |node: &NodeIndex| !reached.is_visited(node) && !called.is_visited(node);
        let missed = graph.node_indices().find(is_missed);
        for object in candidates {
            if let Some(member) = self.members.get_mut(object) {
                member.node = None;
            }
        }
        Some(differs.or(missed.map(|node| Difference::Unreached(graph[node]))))
    }

    /// Those that survive are on the next list, as it was observed; the others are on none, or never collected.
    fn is_over(&mut self, observed: &Collection) {
        let Some(Going { candidates, differs }) = self.going.take().filter(|_| observed.generation.is_some())
        else {
            self.is_lost = true;
            return self.leave(observed);
        };
        let list = observed.generation.map_or(2, |generation| usize::from(generation + 1).min(2));
        observed.survivors.iter().for_each(|object| self.put(*object, list));
        for object in &candidates {
            match self.members.get(object).filter(|member| member.list == usize::MAX) {
                // Who never dies is put aside.
                Some(Member { count: IMMORTAL, .. }) => self.put(*object, FROZEN),
                Some(_) => self.forget(*object),
                None => {}
            }
        }
        self.tidy();
        let numbers = [candidates.len() as u64, observed.candidates];
        let differs = differs.or((numbers[0] != numbers[1]).then_some(Difference::Candidates(numbers)));
        match differs {
            None => self.tally.agree(observed.candidates),
            Some(what) if !self.tally.pass_over(observed.candidates) => {
                self.tally.fail(observed.candidates);
                let (collection, event) = (self.compared, observed.event);
                self.first = Some(CollectionDivergence { collection, event, what });
            }
            Some(_) => {}
        }
        self.compared += 1;
    }

    fn leave(&mut self, observed: &Collection) {
        self.tally.leave(observed.facts()[1]);
    }

    /// Forgets those of the lists who have gone, if these are more than those that are there.
    fn tidy(&mut self) {
        let members = &self.members;
        for (list, objects) in self.lists.iter_mut().enumerate() {
            if objects.len() > 2 * members.len() {
                objects.retain(|object| members.get(object).is_some_and(|member| member.list == list));
            }
        }
    }

    /// What became of the facts, and where they differ first.
    #[must_use]
    pub fn check(&self) -> (Tally, Option<CollectionDivergence>) {
        (self.tally, self.first)
    }
}
