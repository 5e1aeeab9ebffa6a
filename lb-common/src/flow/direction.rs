/// Direction of a flow's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBackend,
    ToClient,
}
