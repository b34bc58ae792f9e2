//! Any bytes are a trace that can be read to its end, or an error; never a panic, never more memory than a frame's
//! limits allow.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = trace::Reader::new(bytes) else { return };
    let allocator = reader.header().allocator;
    let mut frame = trace::Frame::default();
    let mut events = 0;
    let mut resolver = Some((trace::Resolver::new(&allocator), trace::BlockTable::new()));
    let mut addresses = Vec::new();
    while let Ok(true) = reader.read(&mut frame) {
        events += frame.inputs.len() as u64;
        let small = |input: &&trace::PackedInput| {
            matches!(input.kind(), trace::Kind::Allocate | trace::Kind::Resize) && allocator.serves(input.size())
        };
        let placed = frame.inputs.iter().filter(small).count() as u64;
        assert_eq!(placed, frame.observations.placed);
        addresses.clear();
        // One address for each request that pools serve: what the comparer relies on.
        resolver = resolver.and_then(|(mut resolver, mut places)| {
            resolver.resolve(&frame, &mut places, &mut addresses).ok()?;
            assert_eq!(placed, addresses.len() as u64);
            Some((resolver, places))
        });
    }
    assert!(reader.totals().events >= events);
});
