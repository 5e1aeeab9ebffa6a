use anyhow::{Context as _, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Binary>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
}

/// Returns the names of the `[[bin]]` tables of a `Cargo.toml`, in their order.
pub(crate) fn binaries(manifest: &str) -> Result<Vec<String>> {
    let manifest: Manifest =
        toml::from_str(manifest).context("the manifest of lb-ebpf names no programs")?;
    Ok(manifest.bin.into_iter().map(|bin| bin.name).collect())
}

#[cfg(test)]
mod tests {
    use super::binaries;

    #[test]
    fn binaries_keep_their_order() {
        let manifest =
            "[package]\nname = \"p\"\n[[bin]]\nname = \"lb\"\n[[bin]]\nname = \"testbed\"\n";
        assert_eq!(binaries(manifest).unwrap(), ["lb", "testbed"]);
    }

    #[test]
    fn a_manifest_without_binaries_is_refused() {
        assert!(binaries("[package]\nname = \"p\"\n").is_err());
    }
}
