//! A collection that was not seen: from where on things are known again.

use cycles::{Containers, untrack};
use generations::{Generation, Runs};
use trace::Behind;

use super::predictions::{CollectionPredictions, PredictedCollection, Unseen};
use super::watch::Watch;
use super::{CollectionEngine, Comparable, THREAD};

impl<P: Comparable> CollectionEngine<P> {
    /// A collection was not seen. If it is told how things are behind it, replaying goes on from there.
    pub(super) fn lose(
        &mut self,
        event: u64,
        behind: Option<&Behind>,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        self.begun = None;
        let runs = [self.going.take().map(|going| going.run), self.ending.take()];
        runs.into_iter().flatten().for_each(|run| self.finish(run));
        self.is_lost = true;
        if let Some(behind) = behind
            && self.goes_on_with(behind.graphs, out)
        {
            self.resume(behind);
            out.given.recovered += 1;
        }
        let unseen = Some(if self.is_lost { Unseen::Lost } else { Unseen::Recovered });
        out.collections.push(PredictedCollection { event, unseen, ..PredictedCollection::default() });
        watch.unseen(event, !self.is_lost);
    }

    /// Whether what is fetched next is what is behind so many of it. What is before that, and was not fetched, is about what nobody
    /// predicts; what was fetched, and is behind it, was taken for what was not seen.
    fn goes_on_with(&mut self, graphs: u64, out: &mut CollectionPredictions) -> bool {
        while self.fetched < graphs
            && let Some(graph) = self.graphs.pop_front()
        {
            self.fetched += 1;
            self.objects += graph.arrivals.len() as u64;
        }
        while self.fetched > graphs
            && let Some(look) = out.looks.pop()
        {
            self.fetched -= 1;
            self.objects = self.objects.saturating_sub(look.graph.arrivals.len() as u64);
            self.graphs.push_front(look.graph);
        }
        self.fetched == graphs
    }

    /// Nobody is on a list but those that are never collected; the collector's numbers are these.
    fn resume(&mut self, behind: &Behind) {
        for generation in Generation::ALL {
            for id in self.members.lists().iter(generation.list()).collect::<Vec<_>>() {
                untrack(&mut self.members, id);
            }
        }
        self.generations.change(|policy| policy.set_long_lived(behind.long_lived));
        self.generations.resume(behind.counts.map(u64::from));
        if self.generations.rules().runs != Runs::Inside {
            // What was due then waits for a safe point.
            let _ = self.generations.trigger(THREAD, false);
        }
        self.is_lost = false;
    }
}
