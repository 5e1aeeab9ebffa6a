/// Which of a connection's packets pass through the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Both sides' packets do: two entries, each of which names the other one.
    Paired,
    /// Only the client's do, as the backend answers the client itself: one entry.
    OneWay,
}
