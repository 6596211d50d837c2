//! Builds a tree and prints the root hash: for timing against `veritysetup format` (release profile).
//!
//! `cargo run --release -p roamcore-disk --example verity -- DATA TREE THREADS`
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::BufWriter;

use roamcore_disk::{gpt::Guid, verity};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let data = File::open(&args[1]).unwrap();
    let len = data.metadata().unwrap().len();
    let mut out = BufWriter::new(File::create(&args[2]).unwrap());
    let threads = args[3].parse().unwrap();
    println!(
        "{}",
        verity::build(
            &data,
            len,
            &[0xA5; 32],
            Guid::from_bytes([1; 16]),
            &mut out,
            threads
        )
        .unwrap()
    );
}
