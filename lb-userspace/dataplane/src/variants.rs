//! Variants of the balancer's program, which use its maps.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, EbpfLoader, programs::Xdp};

use super::{constants::Constants, load::PROGRAM};

/// What is needed to load variants of a program.
#[derive(Clone, Debug)]
pub struct Variants {
    constants: Constants,
    /// Names of the program's maps, and their pins.
    maps: Vec<(String, PathBuf)>,
}

impl Variants {
    /// Variants of the program that was loaded with these constants, and has these maps, with their pins.
    #[must_use]
    pub fn new(constants: Constants, maps: Vec<(String, PathBuf)>) -> Self {
        Self { constants, maps }
    }

    /// Loads the variant in this object. `prepare` sets what others do not have.
    pub(super) fn load<'a>(
        &'a self,
        object: &[u8],
        prepare: impl FnOnce(&mut EbpfLoader<'a>),
    ) -> Result<Ebpf> {
        let mut loader = EbpfLoader::new();
        self.constants.prepare(&mut loader);
        prepare(&mut loader);
        for (name, pin) in &self.maps {
            // Otherwise the loader would make an empty map.
            ensure!(pin.exists(), "{} is missing: restart the daemon", pin.display());
            loader.map_pin_path(name, pin);
        }
        let mut ebpf = loader.load(object).context("cannot load the variant of the program")?;
        let program: &mut Xdp =
            ebpf.program_mut(PROGRAM).context("the object has no program")?.try_into()?;
        program.load().context("the kernel rejects the variant of the program")?;
        Ok(ebpf)
    }
}
