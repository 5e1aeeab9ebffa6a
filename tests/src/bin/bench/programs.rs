//! The benchmark's own XDP programs.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};
use lb_userspace::testbed::Namespace;

pub const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../lb-ebpf/object/bench.bpf.o"
));

/// Loads a program of the object.
pub fn load<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object.program_mut(name);
    let program = program.with_context(|| format!("the object has no program {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    program.load().with_context(|| format!("the kernel refuses {name}"))?;
    Ok(program)
}

/// Programs on interfaces, detached when this is dropped.
pub struct Attached {
    _object: Ebpf,
}

impl Attached {
    /// Attaches one program to interfaces of a namespace, in native mode.
    pub fn new(name: &str, namespace: &Namespace, interfaces: &[&str]) -> Result<Self> {
        let mut object = Ebpf::load(OBJECT)?;
        let program = load(&mut object, name)?;
        namespace.run(|| {
            interfaces.iter().try_for_each(|interface| {
                let attached = program.attach(interface, XdpMode::Driver);
                attached.map(drop).with_context(|| format!("cannot attach {name} to {interface}"))
            })
        })??;
        Ok(Self { _object: object })
    }
}

/// Detaches the program that a testbed has left on an interface.
pub fn detach(namespace: &Namespace, interface: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "dev", interface, "xdp", "off"]);
    let status = namespace.spawn(&mut ip)?.wait()?;
    ensure!(status.success(), "ip cannot take the program off {interface}: {status}");
    Ok(())
}
