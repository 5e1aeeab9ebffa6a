//! The eBPF objects: compiled, stripped, and compared with or written over the committed ones.

use std::fs;

use anyhow::{Context as _, Result};
use lb_object::{Objects, file_name};
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

use crate::{
    exec,
    setup::toolchain::{TARGET, Toolchain},
    workspace,
};

/// A stripped object.
pub(crate) struct Object {
    file: String,
    content: Vec<u8>,
}

/// Builds every program of `lb-ebpf`.
pub(crate) fn compile(toolchain: Toolchain) -> Result<Vec<Object>> {
    let programs = Objects::new(workspace::root()).programs()?;
    let target = workspace::target()?.join("bpf");
    for mut build in toolchain.each_variant("build", &programs, &target)? {
        exec::run(&mut build)?;
    }

    let directory = target.join(TARGET).join("release");
    programs
        .iter()
        .map(|program| {
            let path = directory.join(&program.name);
            let linked =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let content =
                strip(&linked).with_context(|| format!("cannot strip {}", path.display()))?;
            Ok(Object { file: file_name(&program.name), content })
        })
        .collect()
}

/// Writes the objects to the workspace, with the fingerprint of their sources.
pub(crate) fn write(objects: &[Object]) -> Result<()> {
    let committed = Objects::new(workspace::root());
    let directory = committed.directory();
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    for Object { file, content } in objects {
        let path = directory.join(file);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    committed.record()
}

/// Returns the file names of those objects that differ from the committed ones.
pub(crate) fn differing(objects: &[Object]) -> Result<Vec<&str>> {
    let directory = Objects::new(workspace::root()).directory();
    let mut differing = Vec::new();
    for Object { file, content } in objects {
        let path = directory.join(file);
        let committed =
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if committed != *content {
            differing.push(file.as_str());
        }
    }
    Ok(differing)
}

/// Removes DWARF, four fifths of an object and useless to the kernel. BTF stays.
fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Builder::read(linked)?;
    for section in &mut elf.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    elf.delete_orphans();
    name_sections_apart(&mut elf);

    let mut stripped = Vec::new();
    elf.write(&mut stripped)?;
    Ok(stripped)
}

/// Separates the names of sections and symbols: LLVM has one table for both, the builder two.
fn name_sections_apart(elf: &mut Builder<'_>) {
    let names = elf.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
}
