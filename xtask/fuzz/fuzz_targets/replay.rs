//! Any bytes that are a trace can be replayed, or the error says why not; facts are conserved.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = trace::Reader::new(bytes) else { return };
    // Whatever past it names, it gets its own bytes for it.
    let Ok(trace) = trace::Lineage::new(reader, |_| Ok(bytes)) else { return };
    let outcome = replay::verify::replay(trace, |_| {});
    assert!(outcome.placement.tally.is_conserved());
    assert!(outcome.arenas.tally.is_conserved());
});
