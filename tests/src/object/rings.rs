//! The program's ring buffers, as the daemon reads them.

use aya::maps::{Array, RingBuf};
use bytemuck::Pod;
use lb_common::{
    ended::{Ended, Wanted},
    event::Event,
};

use super::Object;

impl Object {
    /// Returns the events that the daemon has not read yet.
    pub fn events(&mut self) -> Vec<Event> {
        self.unread("EVENTS")
    }

    /// Returns the ends of connections that the daemon has not read yet.
    pub fn ended(&mut self) -> Vec<Ended> {
        self.unread("ENDED")
    }

    /// Sets what the program tells of the ends of connections.
    pub fn want_ends(&mut self, wanted: Wanted) {
        let map = self.ebpf.map_mut("ENDS_WANTED").expect("named");
        let mut array: Array<_, Wanted> = map.try_into().expect("typed");
        array.set(0, wanted, 0).expect("in range");
    }

    fn unread<T: Pod>(&mut self, name: &str) -> Vec<T> {
        let map = self.ebpf.map_mut(name).expect("named");
        let mut ring: RingBuf<_> = map.try_into().expect("typed");
        let mut read = Vec::new();
        while let Some(bytes) = ring.next() {
            read.push(bytemuck::pod_read_unaligned(&bytes));
        }
        read
    }
}
