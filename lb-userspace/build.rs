fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    for name in ["lb", "bed"] {
        let from = format!("../lb-ebpf/object/{name}.bpf.o");
        println!("cargo::rerun-if-changed={from}");
        std::fs::copy(from, format!("{out}/{name}.bpf.o")).unwrap();
    }
}
