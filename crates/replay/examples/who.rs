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
                if let Some(r) = &told.referents {
                    if r.iter().any(|r| ids.contains(r)) {
                        println!(
                            "graph {n} oldest {} referrer {} {} count {:?}:",
                            g.oldest, told.object, names[of[told.object as usize] as usize], told.count
                        );
                        for r in r {
                            print!(
                                " {r}:{}",
                                if *r == UNTRACKED { "-" } else { &names[of[*r as usize] as usize] }
                            );
                        }
                        println!();
                    }
                }
            }
            n += 1;
        }
    }
}
