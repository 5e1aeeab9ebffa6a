use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::Program;

#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Binary>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
    #[serde(default, rename = "required-features")]
    features: Vec<String>,
}

/// Returns the `[[bin]]` tables of a `Cargo.toml`, in their order.
pub(crate) fn binaries(manifest: &str) -> Result<Vec<Program>> {
    let manifest: Manifest =
        toml::from_str(manifest).context("the manifest of lb-ebpf names no programs")?;
    let program = |Binary { name, features }| Program { name, features };
    Ok(manifest.bin.into_iter().map(program).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_keep_their_order() {
        let manifest = r#"
            [package]
            name = "p"
            [[bin]]
            name = "lb"
            [[bin]]
            name = "trace"
            required-features = ["tracing"]
        "#;
        let of = |name: &str, features: &[&str]| Program {
            name: name.to_owned(),
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
        };
        assert_eq!(binaries(manifest).unwrap(), [of("lb", &[]), of("trace", &["tracing"])]);
    }

    #[test]
    fn a_manifest_without_binaries_is_refused() {
        assert!(binaries("[package]\nname = \"p\"\n").is_err());
    }
}
