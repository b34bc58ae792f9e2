use trace::*;
fn main() {
    // who vanished: survivors predicted? list tuples/dicts in the last full collection that are candidates and not survivors nor dead
    let path = std::env::args().nth(1).unwrap();
    let mut t = Lineage::open(path.as_ref()).unwrap();
    let mut f = Frame::default();
    let (mut names, mut of) = (vec![], vec![]);
    let mut refs: std::collections::HashMap<u64, Vec<u64>> = Default::default();
    while t.read(&mut f).unwrap_or(false) {
        names.extend(f.collections.types.drain(..).map(|t| t.name));
        for g in &f.collections.graphs {
            for a in &g.arrivals {
                of.push(a.of);
            }
            for told in &g.told {
                if let Some(r) = &told.referents {
                    refs.insert(told.object, r.clone());
                }
            }
            if g.oldest == 2 {
                println!(
                    "full gone {:?}",
                    g.gone.iter().map(|o| (o, &names[of[*o as usize] as usize])).collect::<Vec<_>>()
                );
            }
        }
    }
}
