use trace::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mut t = Lineage::open(path.as_ref()).unwrap();
    let mut f = Frame::default();
    let mut n = 0;
    while t.read(&mut f).unwrap_or(false) {
        for s in &f.collections.steps {
            match &s.what {
                CollectorAction::Over(x) => println!("{} over {:?}", s.event, x.as_ref().map(|x| x.len())),
                w => println!("{} {:?}", s.event, w),
            }
        }
        for c in &f.observations.collections {
            println!(
                "   #{n} {} gen {:?} cand {} col {} before {:?} after {:?} ll {:?} surv {} dead {}",
                c.event,
                c.generation,
                c.candidates,
                c.collected,
                c.counts_before,
                c.counts,
                c.long_lived,
                c.survivors.len(),
                c.dead.len()
            );
            n += 1;
        }
        for g in &f.collections.graphs {
            println!(
                "   graph oldest {} arrivals {} gone {} came {} told {}",
                g.oldest,
                g.arrivals.len(),
                g.gone.len(),
                g.came.len(),
                g.told.len()
            );
        }
    }
}
