//! Makes cargo tell the tests their `OUT_DIR`, which lies in the target directory, wherever that is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
