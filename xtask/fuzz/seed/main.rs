//! Writes a few short traces, stored and not compressed, for the fuzzer to start from: `seed FOLDER`.

use std::path::PathBuf;

use trace::{
    Answer, Beginning, Begins, Death, Domain, Edge, Ending, Fate, Header, Step, TypeInfo, Writer,
};

const HEADER: &str = r#"{"recorder": "seed", "started": 0, "program": {"name": "seed"},
    "interpreter": {"implementation": "CPython", "version": "3.13.0", "build": "3.13.0"},
    "machine": {"os": "linux", "arch": "x86_64", "processors": 1},
    "allocator": {"alignment": 16, "small_limit": 512, "pool_size": 4096, "arena_size": 262144,
                  "empty_arenas": "keep-last"},
    "tier": "TIER", "tier_reason": "a seed"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: seed FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    for (name, tier, length) in [
        ("short", "blocks", 20),
        ("long", "blocks", 400),
        ("objects", "objects", 100),
        ("counts", "counts", 100),
    ] {
        let header: Header = serde_json::from_str(&HEADER.replace("TIER", tier))?;
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
        if tier != "blocks" {
            objects(&mut writer, tier == "counts")?;
        }
        writer.mark(1)?;
        writer.allocate(Domain::Obj, 16, false, Answer::Failed)?;
        writer.arena_released(0, false);
        writer.finish(Ending::Exited(0), 1)?;
    }
    Ok(())
}

/// A list of a few objects that dies with them, of which one has a finalizer and one a weak reference; more than once.
fn objects(writer: &mut Writer<std::fs::File>, follows: bool) -> Result<(), trace::Error> {
    let info = |name: &str, finalizes| TypeInfo {
        name: name.to_owned(),
        flags: 1 << 14,
        finalizes,
        weakly_referable: true,
        class: finalizes,
        foreign: false,
        finalizes_late: false,
        family: if finalizes { "object" } else { name }.to_owned(),
        object: None,
    };
    let list = writer.described(&info("list", false))?;
    let class = writer.described(&info("Class", true))?;
    for round in 0..9_u64 {
        let mut members = Vec::new();
        for _ in 0..3 {
            let block = writer.allocate(Domain::Obj, 48, false, Answer::Foreign)?;
            let begins = block.map_or(Begins::Elsewhere, |block| Begins::InBlock(block.block(), 16));
            members.push((writer.born(class, begins)?, block));
        }
        let owner = if round % 2 == 0 || !follows {
            writer.born(list, Begins::Elsewhere)?
        } else {
            writer.born(list, Begins::Kept(0))?
        };
        let edge = |&(member, _): &(u64, _)| Edge { referent: Some(member), count: Some(1) };
        let beginning = Beginning { edges: members.iter().map(edge).collect(), weak: Vec::new() };
        if follows {
            writer.step(Step::Up(owner))?;
            writer.step(Step::Down(owner))?;
            writer.step(Step::Down(owner))?;
            writer.observed(Death::Begins(owner));
        } else {
            writer.step(Step::Dies(owner))?;
        }
        writer.begins(owner, &beginning)?;
        for (member, block) in members {
            writer.begins(member, &Beginning::default())?;
            writer.observed(Death::Begins(member));
            if follows {
                writer.calls();
                writer.observed(Death::Finalizer(member));
                writer.step(Step::Up(member))?;
                writer.step(Step::Down(member))?;
                writer.step(Step::Returned)?;
            }
            if let Some(block) = block {
                writer.release_by_death(block, 0, Domain::Obj)?;
            }
            writer.ends(Fate::Released);
            writer.observed(Death::Ends(member, Fate::Released));
        }
        writer.ends(Fate::Kept);
        writer.observed(Death::Ends(owner, Fate::Kept));
    }
    Ok(())
}
