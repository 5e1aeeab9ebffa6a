//! Per-CPU arrays of counters, summed over CPUs.

use std::{
    marker::PhantomData,
    ops::{AddAssign, Range},
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, maps::Map, util::nr_cpus};
use bytemuck::Pod;
use lb_host::sys::bpf;

use crate::object;

/// The sums of a per-CPU array's values.
#[derive(Debug)]
pub(crate) struct PerCpu<V> {
    fd: OwnedFd,
    cpus: usize,
    value: PhantomData<V>,
}

impl<V: Pod + Default + AddAssign> PerCpu<V> {
    pub(crate) fn open(ebpf: &Ebpf, name: &str) -> Result<Self> {
        Self::of_map(object::map(ebpf, name)?).with_context(|| format!("cannot read {name}"))
    }

    pub(crate) fn of_map(map: &Map) -> Result<Self> {
        let Map::PerCpuArray(data) = map else { bail!("it is not a per-CPU array") };
        let fd = data.fd().as_fd().try_clone_to_owned()?;
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        Ok(Self { fd, cpus, value: PhantomData })
    }

    /// Reads a range of the array with one system call.
    pub(crate) fn of(&self, places: Range<u32>) -> Result<Vec<V>> {
        let words = self.cpus * size_of::<V>() / size_of::<u64>();
        let values = bpf::per_cpu_values(self.fd.as_fd(), places, words)?;
        let sum = |values: &[V]| {
            let mut sum = V::default();
            for value in values {
                sum += *value;
            }
            sum
        };
        Ok(bytemuck::cast_slice(&values).chunks(self.cpus).map(sum).collect())
    }
}
