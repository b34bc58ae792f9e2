//! Any bytes that are a trace can be replayed, or the error says why not; facts are conserved.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = trace::Reader::new(bytes) else { return };
    let outcome = replay::verify::replay(reader, |_| {});
    assert!(outcome.placement.tally.is_conserved());
    assert!(outcome.arenas.tally.is_conserved());
});
