//! Puts the eBPF objects into `OUT_DIR`, where the crate embeds them from.

fn main() {
    lb_object::embed(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
}
