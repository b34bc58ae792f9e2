use trace::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let (lo, hi): (u64, u64) = (
        std::env::args().nth(2).unwrap().parse().unwrap(),
        std::env::args().nth(3).unwrap().parse().unwrap(),
    );
    let mut t = Lineage::open(path.as_ref()).unwrap();
    let mut f = Frame::default();
    let mut b: Vec<bool> = vec![];
    let mut count = 0i64;
    while t.read(&mut f).unwrap_or(false) {
        let mut steps = f.collections.steps.iter().peekable();
        let mut k = 0;
        for (e, i) in (f.first_event..).zip(&f.inputs) {
            while let Some(s) = steps.next_if(|s| s.event <= e) {
                if e >= lo && e <= hi {
                    println!("{e} step {:?}", matches!(s.what, CollectorAction::SafePoint));
                }
                if matches!(s.what, CollectorAction::SafePoint | CollectorAction::Asks(_)) {
                    count = 0
                }
            }
            let mut w = "";
            if i.is_birth() {
                let mut c = false;
                if i.is_birth_for_object() {
                    c = f.collections.is_container(k);
                    k += 1;
                }
                b.push(c);
                if c {
                    count += 1;
                    w = "gc";
                }
            } else if i.is_release() && b[i.block() as usize] {
                count = (count - 1).max(0);
                w = "gc";
            }
            if e >= lo && e <= hi {
                println!("{e} {:?} {w} {count}", i.unpack());
            }
        }
    }
}
