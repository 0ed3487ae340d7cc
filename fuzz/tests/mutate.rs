//! Random changes of the corpus, on stable and without an engine: what a minute of real fuzzing
//! would find first. `FUZZ_ROUNDS` sets how many inputs each target gets; a seed names them.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[test]
fn changed_inputs_pass_all_targets() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("FUZZ_ROUNDS").unwrap_or(500);
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in strongroom_fuzz::TARGETS {
        let mut paths: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let inputs: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let mut random = Random(seed);
        for round in 0..rounds {
            let input = change(&inputs, &mut random);
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
            if outcome.is_err() {
                let text = String::from_utf8_lossy(&input);
                panic!("{name}, round {round} of seed {seed}: {input:?}\n{text}");
            }
        }
        println!("{name}: {rounds} inputs");
    }
}

/// One input with one to eight changes: bits, bytes, removals, repetitions, pieces of others.
fn change(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const TELLING: [u8; 16] = *b"\0\xff\r\n:;,=%&\"-09<\x80";
    let mut input = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(16)).min(input.len());
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())],
            2 => input.insert(at, TELLING[random.below(TELLING.len())]),
            3 if at < end => drop(input.drain(at..end)),
            4 if at < end => {
                let piece = input[at..end].repeat(1 + random.below(40));
                input.splice(at..at, piece);
            }
            5 => {
                let other = &inputs[random.below(inputs.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            _ => input.truncate(at.max(input.len() / 2)),
        }
    }
    input.truncate(1 << 16);
    input
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % (bound.max(1) as u64)).unwrap()
    }
}
