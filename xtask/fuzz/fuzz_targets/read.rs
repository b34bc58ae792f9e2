//! Any bytes are a trace that can be read to its end, or an error; never a panic, never more memory than a frame's
//! limits allow.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = trace::Reader::new(bytes) else { return };
    let mut frame = trace::Frame::default();
    let mut events = 0;
    while let Ok(true) = reader.read(&mut frame) {
        events += frame.inputs.len() as u64;
        let small = |input: &&trace::PackedInput| {
            matches!(input.kind(), trace::Kind::Allocate | trace::Kind::Resize)
                && reader.header().allocator.serves(input.size())
        };
        // One address for each request that pools serve: what the comparer relies on.
        assert_eq!(frame.inputs.iter().filter(small).count(), frame.observations.addresses.len());
    }
    assert!(reader.totals().events >= events);
});
