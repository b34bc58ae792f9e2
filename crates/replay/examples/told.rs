use trace::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let ids: Vec<u64> = std::env::args().skip(2).map(|s| s.parse().unwrap()).collect();
    let mut t = Lineage::open(path.as_ref()).unwrap();
    let mut f = Frame::default();
    let (mut names, mut of, mut n) = (vec![], vec![], 0);
    while t.read(&mut f).unwrap_or(false) {
        names.extend(f.collections.types.drain(..).map(|t| t.name));
        for g in &f.collections.graphs {
            for a in &g.arrivals {
                of.push(a.of);
            }
            for told in &g.told {
                if ids.contains(&told.object) {
                    println!(
                        "graph {n} object {} {} {:?}",
                        told.object, names[of[told.object as usize] as usize], told
                    );
                }
            }
            for o in &g.gone {
                if ids.contains(o) {
                    println!("gone {o} graph {n}");
                }
            }
            n += 1;
        }
        for c in &f.observations.collections {
            for o in &ids {
                if let Some(p) = c.survivors.iter().position(|x| x == o) {
                    println!("   event {} survivor {o} at {p}", c.event);
                }
                if c.dead.contains(o) {
                    println!("   event {} dead {o}", c.event);
                }
            }
        }
    }
}
