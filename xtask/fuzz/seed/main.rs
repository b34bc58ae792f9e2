//! Writes a few short traces, stored and not compressed, for the fuzzer to start from: `seed FOLDER`.

use std::path::PathBuf;

use trace::{Answer, Domain, Ending, Header, Writer};

const HEADER: &str = r#"{"recorder": "seed", "started": 0, "program": {"name": "seed"},
    "interpreter": {"implementation": "CPython", "version": "3.13.0", "build": "3.13.0"},
    "machine": {"os": "linux", "arch": "x86_64", "processors": 1},
    "allocator": {"alignment": 16, "small_limit": 512, "pool_size": 4096, "arena_size": 262144,
                  "empty_arenas": "keep-last"},
    "tier": "blocks", "tier_reason": "a seed"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: seed FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    let header: Header = serde_json::from_str(HEADER)?;
    for (name, length) in [("short", 20), ("long", 400)] {
        let mut writer = Writer::new(std::fs::File::create(folder.join(name))?, &header)?;
        let base = 0x7f00_0000_0000;
        writer.arena_requested(Some(base));
        let mut live = Vec::new();
        for event in 0..length {
            let address = base + 48 + event * 64;
            match event % 5 {
                0..3 => {
                    let size = event * 7 % 700;
                    let small = (1..=512).contains(&size);
                    let answer = if small { Answer::At(address) } else { Answer::Foreign };
                    let domain = if event % 2 == 0 { Domain::Obj } else { Domain::Mem };
                    live.extend(writer.allocate(domain, size, event % 11 == 0, answer)?.map(|block| (block, address)));
                }
                3 => {
                    if let Some((block, address)) = live.pop() {
                        let new = Answer::At(address + 16);
                        let block = writer.resize(block, address, Domain::Obj, event % 600 + 1, new)?;
                        live.push((block, address + 16));
                    }
                }
                _ => {
                    if !live.is_empty() {
                        let (block, address) = live.swap_remove(live.len() / 2);
                        writer.release(block, address, Domain::Obj)?;
                    }
                }
            }
        }
        writer.mark(1)?;
        writer.allocate(Domain::Obj, 16, false, Answer::Failed)?;
        writer.arena_released(0, false);
        writer.finish(Ending::Exited(0), 1)?;
    }
    Ok(())
}
