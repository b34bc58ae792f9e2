//! What is written of a collector: what it looks at, what is done to it, and what its collections did.

use std::io::Write;

use super::{FRAME_COLLECTIONS, Writer};
use crate::collections::{self, Collection, CollectorAction, Graph};
use crate::objects::{TypeInfo, TypeNumber};

impl<W: Write> Writer<W> {
    /// The block that was allocated last is a container. Where collections are told; so are the following.
    #[inline]
    pub fn container(&mut self) {
        if let Some(collections) = &mut self.collections {
            collections.container();
        }
    }

    /// A type is described, of objects that the collector looks at, and gets a number.
    pub fn collection_type(&mut self, info: &TypeInfo) -> TypeNumber {
        self.collections.as_mut().map_or(0, |collections| collections.described(info))
    }

    /// How many objects have come to the youngest generation's list so far.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.collections.as_ref().map_or(0, collections::Encoder::objects)
    }

    /// How often it was told so far what a collection looks at.
    #[must_use]
    pub fn graphs(&self) -> u64 {
        self.collections.as_ref().map_or(0, collections::Encoder::graphs_told)
    }

    /// Something is done to the collector.
    pub fn collector(&mut self, what: &CollectorAction) {
        if let Some(collections) = &mut self.collections {
            collections.step(self.totals.events, what);
        }
    }

    /// What the collector looks at.
    pub fn graph(&mut self, graph: &Graph) {
        if let Some(collections) = &mut self.collections {
            let arrivals =
                if self.has_no_births { &mut self.totals.objects } else { &mut self.totals.arrivals };
            *arrivals += graph.arrivals.len() as u64;
            self.totals.references += collections.graph(graph);
            self.is_frame_due |= collections.size() >= FRAME_COLLECTIONS;
        }
    }

    /// An answer: what a collection did that is over now.
    pub fn collected(&mut self, collection: &Collection) {
        if let Some(collections) = &mut self.collections {
            collections.observe(collection);
            self.is_frame_due |= collections.size() >= FRAME_COLLECTIONS;
            let [schedule, partition, survivors, stats] = collection.facts();
            self.totals.schedule_facts += schedule;
            self.totals.partition_facts += partition;
            self.totals.survivor_facts += survivors;
            self.totals.stats_facts += stats;
        }
    }
}
