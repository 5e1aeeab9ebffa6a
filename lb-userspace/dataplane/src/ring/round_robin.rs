use super::{LONGEST, Member, gcd, spread::spread};

/// Returns the members' ids, each in proportion to its weight, in the shortest ring that keeps the
/// ratio.
pub(super) fn ring(members: &[Member]) -> Vec<u32> {
    spread(&turns(members)).map(|place| members[place].id).collect()
}

/// Returns the number of slots of each member.
fn turns(members: &[Member]) -> Vec<u32> {
    let weights = || members.iter().map(|member| u64::from(member.weight));
    let divisor = weights().fold(0, gcd).max(1);
    let longest = u64::from(LONGEST);
    let total: u64 = weights().sum();
    let turns = |weight: u64| {
        if total / divisor <= longest {
            return weight / divisor;
        }
        ((weight * longest + total / 2) / total).max(1)
    };
    weights().map(|weight| u32::try_from(turns(weight)).unwrap_or(LONGEST)).collect()
}
